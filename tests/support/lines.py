"""Lines between schools and a server that are slow, stall or break: TCP relays on loopback.

What passes is the real protocol under TLS; a line only delays it, holds it back or cuts it.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE_BYTES = 16384
_LOOK_SECONDS = 0.1


class Line:
    """One school's line; its fields may be set from any thread, at any time.

    Attributes:
        port: what the school calls on ``localhost``.
        bytes_per_second: how fast it is, each way; None for as fast as it goes.
        held: connections stay open and nothing passes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.port = 0
        self.bytes_per_second: float | None = None
        self.held = False
        self._loop, self._target = loop, target
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break every connection; a new one may be made at once."""
        self._loop.call_soon_threadsafe(self.abort)

    def abort(self) -> None:
        """`cut`, in the lines' own thread."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._open |= both
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        self._open -= both
        for each in both:
            each.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while piece := await source.read(_PIECE_BYTES):
                if self.bytes_per_second is not None:
                    await asyncio.sleep(len(piece) / self.bytes_per_second)
                while self.held:
                    await asyncio.sleep(_LOOK_SECONDS)
                target.write(piece)
                await target.drain()
        with suppress(OSError):
            target.write_eof()


class Lines:
    """All lines of a test, carried by one thread while the context lasts."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._begun: list[tuple[asyncio.Server, Line]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server, line in self._begun:
            server.close()
            line.held = False
            line.abort()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    def to(self, port: int, *, host: str = "127.0.0.1", same_port: bool = False) -> Line:
        """A new line to a server's port.

        Args:
            port: the server's, on 127.0.0.1.
            host: the loopback address at which the line begins.
            same_port: whether it has the server's port, which takes another ``host``.
        """
        line = Line(self._loop, port)
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(line.relay, host, port if same_port else 0), self._loop
        )
        server = started.result(10)
        line.port = server.sockets[0].getsockname()[1]
        self._begun.append((server, line))
        return line
