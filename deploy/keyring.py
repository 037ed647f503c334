"""The keys that people sign with: a file under a passphrase, or a token behind a command.

A private key that speaks for a person is either

- ``name.pem``: PKCS #8, encrypted with a passphrase, readable by its owner alone; or
- ``name.toml``: a public key and the command that signs with the private one, for a smart card, a
  security token or a signing service whose key never leaves it. The command reads the bytes on
  standard input (DSSE's pre-authentication encoding) and writes their Ed25519 signature on
  standard output: 64 bytes, or these in base64.

Whatever a command answers is verified with the public key before it is used.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.client.files import require_private, write_private
from fedtrace.deploy.passphrases import require_passphrase
from fedtrace.governance.document import Document
from fedtrace.governance.signing import (
    KeySigner,
    PassphraseError,
    PublicKey,
    Signer,
    SignerError,
    generate_key,
    is_signature,
)
from fedtrace.governance.source import load

KEY_FILE_LIMIT_BYTES = 64 * 1024

_SECONDS = 120  # a person may have to touch the token
_SIGNATURE_BYTES = 64


Word = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""What can be a program's name or argument: no operating system takes a NUL."""


class External(Document):
    """What a ``.toml`` key file says.

    Attributes:
        public_key: of the key that the command signs with.
        command: the program and its arguments; no shell reads them.
    """

    payload_type: ClassVar[str] = "application/vnd.fedtrace.external-key+json"
    limit_bytes: ClassVar[int] = KEY_FILE_LIMIT_BYTES

    format: Literal["fedtrace-external-key/1"]
    public_key: PublicKey
    command: Annotated[tuple[Word, ...], Field(min_length=1, max_length=64)]


class CommandSigner:
    """Signs by a command that has the key."""

    def __init__(self, public_key: PublicKey, command: Sequence[str]) -> None:
        self._public_key, self._command = public_key, tuple(command)

    def __repr__(self) -> str:
        return f"CommandSigner({self._public_key})"

    @property
    def public_key(self) -> PublicKey:
        """See `fedtrace.governance.signing.Signer`."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """See `fedtrace.governance.signing.Signer`."""
        program = self._command[0]
        try:
            done = subprocess.run(
                self._command, input=message, capture_output=True, timeout=_SECONDS, check=False
            )
        except OSError as error:
            raise SignerError(f"{program} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise SignerError(f"{program} did not sign within {_SECONDS} seconds") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise SignerError(
                f"{program} did not sign (exit code {done.returncode})"
                + "".join(f": {_printable(line[:200])}" for line in said)
            )
        signature = _raw(done.stdout)
        if not is_signature(self._public_key, signature, message):
            raise SignerError(
                f"{program} answered with {len(done.stdout)} bytes that are no signature by "
                f"{self._public_key}: is it the right key, and Ed25519 without prehashing?"
            )
        return signature


def create_key(path: Path, passphrase: str) -> PublicKey:
    """Make a person's key in a file that only its owner can read.

    Raises:
        FileExistsError: there is a file already; keys are never replaced.
        ValueError: the passphrase is too short, or the name does not end in ``.pem``.
        OSError: it cannot be written.
    """
    if path.suffix != ".pem":
        raise ValueError(f"{path} does not end in .pem")
    require_passphrase(passphrase)
    made = generate_key()
    write_private(path, made.to_pem(passphrase.encode()))
    return made.public_key


def open_key(path: Path, passphrase: Callable[[], str]) -> Signer:
    """What signs with the key of a file.

    Args:
        path: ``.pem`` or ``.toml``.
        passphrase: asked for one when the file is encrypted.

    Raises:
        SignerError: the passphrase is another one.
        ValueError: the file holds no key.
        PermissionError: others on this machine can read a private key.
        OSError: it cannot be read.
    """
    content = _read(path)
    if path.suffix == ".toml":
        external = load(content.decode("utf-8", "replace"), External)
        return CommandSigner(external.public_key, external.command)
    try:
        signer = KeySigner.from_pem(content)
    except PassphraseError:
        signer = KeySigner.from_pem(content, passphrase().encode())
    require_private(path)
    return signer


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(KEY_FILE_LIMIT_BYTES + 1)
    if len(content) > KEY_FILE_LIMIT_BYTES:
        raise ValueError(f"it has more than {KEY_FILE_LIMIT_BYTES:,} bytes: it is no key")
    return content


def _printable(line: str) -> str:
    """Without what would colour or move the terminal that it is shown on."""
    return "".join(each if each.isprintable() else "?" for each in line)


def _raw(answer: bytes) -> bytes:
    if len(answer) == _SIGNATURE_BYTES:
        return answer
    try:
        return base64.b64decode(answer.strip(), validate=True)
    except binascii.Error:
        return b""
