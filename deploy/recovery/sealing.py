"""A file that only a passphrase opens: scrypt, then AES-256-GCM in chunks, for files of any size.

::

    fedtrace-sealed/1 <cost> <salt> <prefix>   a line, all that is readable: numbers, hexadecimal
    chunk, chunk, ..., last chunk              65,536 bytes and the tag's 16 each; the last is less

A chunk's nonce is the prefix, the chunk's number and whether it is the last (STREAM, Hoang et al.
2015, section 5), and the header is bound to each chunk. So chunks that were left out, moved, added
or cut off at the end do not open. scrypt is RFC 7914 with r = 8, p = 1.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedtrace.deploy.passphrases import require_passphrase
from fedtrace.deploy.recovery.errors import BackupError

MAGIC = b"fedtrace-sealed/1 "

_COST = 2**17  # OWASP's first choice for scrypt: 128 MiB and about half a second a guess
_COSTS = range(2**14, 2**20 + 1)  # read from a file: not so large that it fills this machine
_CHUNK_BYTES = 65_536
_TAG_BYTES = 16
_SALT_BYTES = 16
_NONCE = struct.Struct(">7sI?")
_PREFIX_BYTES = 7
_HEADER_BYTES = 128
_HEADER = re.compile(MAGIC + rb"([0-9]{1,7}) ([0-9a-f]{32}) ([0-9a-f]{14})\n")


class SealedWriter:
    """Encrypts what is written to it; without `finish` nothing of it can be read back.

    Args:
        file: where the ciphertext goes.
        passphrase: opens it.
    """

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        require_passphrase(passphrase)
        salt, self._prefix = os.urandom(_SALT_BYTES), os.urandom(_PREFIX_BYTES)
        self._header = b"%s%d %s %s\n" % (
            MAGIC, _COST, salt.hex().encode(), self._prefix.hex().encode(),
        )  # fmt: skip
        self._cipher = _cipher(passphrase, salt, _COST)
        self._file, self._pending, self._number = file, bytearray(), 0
        file.write(self._header)

    def write(self, data: bytes) -> int:
        """Take in more; a full chunk is written as soon as it is known not to be the last."""
        self._pending += data
        while len(self._pending) > _CHUNK_BYTES:
            self._seal(bytes(self._pending[:_CHUNK_BYTES]), last=False)
            del self._pending[:_CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce = _NONCE.pack(self._prefix, self._number, last)
        self._file.write(self._cipher.encrypt(nonce, chunk, self._header))
        self._number += 1


class SealedReader:
    """Decrypts a file that `SealedWriter` wrote.

    Args:
        file: at its beginning.
        passphrase: what opens it.

    Raises:
        BackupError: from here or from `read`: another passphrase, or the file is damaged.
    """

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._header = file.readline(_HEADER_BYTES)
        found = _HEADER.fullmatch(self._header)
        if found is None or int(found[1]) not in _COSTS:
            raise BackupError("the encrypted backup's first line is damaged")
        salt, self._prefix = bytes.fromhex(found[2].decode()), bytes.fromhex(found[3].decode())
        try:
            self._cipher = _cipher(passphrase, salt, int(found[1]))
        except ValueError as error:
            raise BackupError("the encrypted backup's first line is damaged") from error
        self._file, self._number, self._ended = file, 0, False
        self._next = file.read(_CHUNK_BYTES + _TAG_BYTES)
        self._ready = bytearray()

    def read(self, size: int) -> bytes:
        """So many bytes, or what is left."""
        while len(self._ready) < size and not self._ended:
            self._open_next()
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _open_next(self) -> None:
        chunk, self._next = self._next, self._file.read(_CHUNK_BYTES + _TAG_BYTES)
        self._ended = not self._next
        nonce = _NONCE.pack(self._prefix, self._number, self._ended)
        try:
            self._ready += self._cipher.decrypt(nonce, chunk, self._header)
        except InvalidTag as error:
            what = (
                "this passphrase does not open the backup, or its beginning is damaged"
                if self._number == 0
                else f"the encrypted backup is damaged or cut off after chunk {self._number}"
            )
            raise BackupError(what) from error
        self._number += 1


def _cipher(passphrase: str, salt: bytes, cost: int) -> AESGCM:
    derived = Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())
    return AESGCM(derived)
