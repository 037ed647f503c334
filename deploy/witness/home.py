"""A witness's folder: its name and key, and the last checkpoint of each log that it cosigned.

::

    <home>/
      name            what stands in its cosignatures
      keys/           an Ed25519 and an ML-DSA-44 key, readable by their owner alone
      logs/<sha256 of the origin>  the last checkpoint that was cosigned, as it came
      evidence/       checkpoints that contradict one of these: their log signed two histories
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from fedtrace.client.files import require_private, write_private
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.locks import take_lock
from fedtrace.governance.log.checkpoint import LogCheckpoint, parse_checkpoint
from fedtrace.governance.log.cosignature import Cosigner, Ed25519Cosigner, MlDsaCosigner
from fedtrace.governance.log.note import NoteError, parse_note
from fedtrace.governance.signing import read_private_key

logger = logging.getLogger(__name__)

_KEYS, _ED25519, _ML_DSA = "keys", "witness.pem", "witness-ml-dsa.seed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessHome:
    """A witness's folder, open; the store of a `governance.log.witness.Witness`.

    Attributes:
        directory: the folder.
        cosigners: its keys, each with the name; every checkpoint gets a line of each.
    """

    directory: Path
    cosigners: tuple[Cosigner, ...]

    def latest(self, origin: str) -> LogCheckpoint | None:
        """The last checkpoint that was cosigned; None before the first.

        Raises:
            Corrupt: its file is damaged: nothing is cosigned until a person looked.
        """
        path = self._place(origin)
        try:
            note = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = parse_checkpoint(parse_note(note)[0])
        except NoteError as error:
            raise Corrupt(f"{path} is no checkpoint: {error}") from error
        if found.origin != origin:
            raise Corrupt(f"{path} is a checkpoint of {found.origin}, not of {origin}")
        return found

    def record(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        """Remember this one instead; it is on disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        path = self._place(checkpoint.origin)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, note, replace=True)

    def observe(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        """Keep a checkpoint that has another root of the size that was cosigned.

        Raises:
            OSError: it cannot be written.
        """
        latest = self.latest(checkpoint.origin)
        if latest is None or latest.size != checkpoint.size or latest.root == checkpoint.root:
            return
        folder = self.directory / "evidence"
        folder.mkdir(mode=0o700, exist_ok=True)
        for content in (note, self._place(checkpoint.origin).read_bytes()):
            write_private(folder / hashlib.sha256(content).hexdigest(), content, replace=True)
        logger.error("%s signed two histories: evidence is in %s", checkpoint.origin, folder)

    def _place(self, origin: str) -> Path:
        return self.directory / "logs" / hashlib.sha256(origin.encode()).hexdigest()


def create_home(directory: Path, *, name: str) -> WitnessHome:
    """Make a witness's folder with a new key.

    Raises:
        FileExistsError: there is a key already.
        ValueError: the name is none that a cosignature can have.
        OSError: it cannot be written.
    """
    key, later = Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate()
    cosigners = (Ed25519Cosigner(name, key), MlDsaCosigner(name, later))
    keys = directory / _KEYS
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(keys / _ED25519, pem)
    write_private(keys / _ML_DSA, later.private_bytes_raw().hex().encode())
    write_private(directory / "name", f"{name}\n".encode(), replace=True)
    return WitnessHome(directory=directory, cosigners=cosigners)


def open_home(directory: Path) -> WitnessHome:
    """Open a witness's folder.

    Raises:
        ValueError: a key is none, or the name.
        PermissionError: others can read the key.
        OSError: a file cannot be read.
    """
    path, seed = directory / _KEYS / _ED25519, directory / _KEYS / _ML_DSA
    for each in (path, seed):
        require_private(each)
    try:
        key = read_private_key(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    later = MLDSA44PrivateKey.from_seed_bytes(bytes.fromhex(seed.read_text(encoding="ascii")))
    name = (directory / "name").read_text(encoding="utf-8").strip()
    cosigners = (Ed25519Cosigner(name, key), MlDsaCosigner(name, later))
    return WitnessHome(directory=directory, cosigners=cosigners)


@contextmanager
def alone(home: WitnessHome) -> Iterator[None]:
    """Nobody else answers from this folder meanwhile: two of them could vouch for two histories.

    Raises:
        BlockingIOError: somebody does.
    """
    try:
        lock = take_lock(home.directory / "lock")
    except BlockingIOError as error:
        sentence = "another process answers for this witness: end it first"
        raise BlockingIOError(errno.EAGAIN, sentence, str(home.directory)) from error
    try:
        yield
    finally:
        os.close(lock)
