"""The secrets of one school: what it signs with, what its log signs with, and the vault's key.

They are made in the school and never leave it; the two public halves go into the charter. Who
loses ``vault.key`` loses the students' records, so it belongs into the school's own backup of
secrets, apart from backups of the vault.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)

from fedtrace.client.files import require_private, write_private
from fedtrace.client.sealing import SCHOOL_KEY_BYTES
from fedtrace.governance.signing import KeySigner, PublicKey, generate_key, read_private_key

_SIGNER, _LOG, _VAULT = "school.pem", "log.pem", "vault.key"
_NEXT = "school.next.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolKeys:
    """The secrets of one school; never printed.

    Attributes:
        signer: signs manifests, refusals and plans.
        log_key: signs the checkpoints of the school's log.
        vault_key: 32 bytes that wrap the students' data keys.
    """

    signer: KeySigner
    log_key: Ed25519PrivateKey
    vault_key: bytes

    def __repr__(self) -> str:
        return f"SchoolKeys({self.public_key})"

    @property
    def public_key(self) -> PublicKey:
        """The public half of ``signer``, for the charter."""
        return self.signer.public_key

    @property
    def log_public_key(self) -> PublicKey:
        """The public half of ``log_key``, for the charter."""
        raw = self.log_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode("ascii")


def create_keys(directory: Path) -> SchoolKeys:
    """Make new secrets, each in a file that only its owner can read.

    Raises:
        FileExistsError: there are keys already; they are never replaced.
        OSError: the folder cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any((directory / name).exists() for name in (_SIGNER, _LOG, _VAULT)):
        raise FileExistsError(f"there are keys in {directory} already; they are never replaced")
    try:
        write_private(directory / _VAULT, secrets.token_hex(SCHOOL_KEY_BYTES).encode("ascii"))
        for name in (_SIGNER, _LOG):
            write_private(directory / name, generate_key().to_pem())
    except OSError:
        for name in (_SIGNER, _LOG, _VAULT):  # nobody has used them yet
            (directory / name).unlink(missing_ok=True)
        raise
    return load_keys(directory)


def load_keys(directory: Path) -> SchoolKeys:
    """Read the secrets of a school.

    Raises:
        PermissionError: others on this machine can read one of them.
        ValueError: a file does not hold what its name says.
        OSError: a file is missing.
    """
    for name in (_SIGNER, _LOG, _VAULT):
        require_private(directory / name)
    try:
        vault_key = binascii.unhexlify((directory / _VAULT).read_bytes())
    except binascii.Error:
        vault_key = b""
    if len(vault_key) != SCHOOL_KEY_BYTES:
        raise ValueError(f"{_VAULT} does not hold {SCHOOL_KEY_BYTES} bytes in hexadecimal")
    return SchoolKeys(
        signer=KeySigner(_read_key(directory / _SIGNER)),
        log_key=_read_key(directory / _LOG),
        vault_key=vault_key,
    )


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        return read_private_key(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class NextKey:
    """The key that will sign for the school's machine once a charter names it.

    Attributes:
        directory: the school's keys.
        signer: signs with it.
    """

    directory: Path
    signer: KeySigner

    @classmethod
    def make(cls, directory: Path) -> NextKey:
        """The next key, made if there is none yet.

        Raises:
            PermissionError, ValueError, OSError: as `load_keys`.
        """
        found = cls.find(directory)
        if found is None:
            signer = generate_key()
            write_private(directory / _NEXT, signer.to_pem())
            found = cls(directory=directory, signer=signer)
        return found

    @classmethod
    def find(cls, directory: Path) -> NextKey | None:
        """The next key; None where none was made.

        Raises:
            PermissionError, ValueError, OSError: as `load_keys`.
        """
        path = directory / _NEXT
        if not path.exists():
            return None
        require_private(path)
        try:
            signer = KeySigner.from_pem(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{_NEXT}: {error}") from error
        return cls(directory=directory, signer=signer)

    def take_over(self) -> None:
        """Be the school's key from now on; the one before is destroyed.

        Raises:
            OSError: nothing has changed.
        """
        write_private(self.directory / _SIGNER, self.signer.to_pem(), replace=True)
        (self.directory / _NEXT).unlink()
