"""Bytes on their way through the front: few are kept in memory, many in a file without a name.

Two hundred schools send a model's update at about the same time, some of them slowly. What they
have sent so far lies on the disk, so that the front's memory does not grow with their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

IN_MEMORY_BYTES = 128 * 1024
"""As much as one school's request or answer occupies at most, beside the buffers of its socket."""

_PART_BYTES = 64 * 1024


class Spool:
    """Written once, then read as often as needed, and gone when closed.

    Args:
        folder: where a file is made; it has no name there and ends with the process.
    """

    def __init__(self, folder: Path) -> None:
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(  # noqa: SIM115
            max_size=IN_MEMORY_BYTES, dir=str(folder)
        )
        self._length = 0

    def __len__(self) -> int:
        """Bytes written."""
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def large(self) -> bool:
        """Whether the bytes lie in a file."""
        return self._length > IN_MEMORY_BYTES

    async def write(self, part: bytes) -> None:
        """Append.

        Raises:
            OSError: the disk is full, or fails.
        """
        self._length += len(part)
        if self.large:  # not on the thread that serves everybody else
            await asyncio.to_thread(self._file.write, part)
        else:
            self._file.write(part)

    async def parts(self) -> AsyncIterator[bytes]:
        """Everything from the start, in pieces."""
        self._file.seek(0)
        while True:
            if self.large:
                part = await asyncio.to_thread(self._file.read, _PART_BYTES)
            else:
                part = self._file.read(_PART_BYTES)
            if not part:
                return
            yield part

    async def content(self) -> bytes:
        """Everything at once; for what is known to be short."""
        return b"".join([part async for part in self.parts()])

    def close(self) -> None:
        """Forget the bytes."""
        self._file.close()
