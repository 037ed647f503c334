"""Keys that people sign with: files under a passphrase, and tokens behind a command."""

from __future__ import annotations

import base64
import stat
import sys
from pathlib import Path

import pytest

from fedtrace.deploy.keyring import KEY_FILE_LIMIT_BYTES, CommandSigner, create_key, open_key
from fedtrace.governance.errors import PolicyError
from fedtrace.governance.signing import (
    PassphraseError,
    Signer,
    SignerError,
    generate_key,
    sign_envelope,
    verify_envelope,
)

TYPE = "application/vnd.fedtrace.test+json"
WORDS = "five words nobody would guess"

TOKEN = """
import base64, sys
from pathlib import Path
from fedtrace.governance.signing import KeySigner
key = KeySigner.from_pem(Path(sys.argv[1]).read_bytes())
signature = key.sign(sys.stdin.buffer.read())
sys.stdout.buffer.write(base64.b64encode(signature) + b"\\n" if "text" in sys.argv else signature)
"""


def never() -> str:
    raise AssertionError("nobody should be asked for a passphrase")


def signs(signer: Signer) -> None:
    envelope = sign_envelope(b"{}", TYPE, [signer])
    assert verify_envelope(envelope, TYPE, {"it": signer.public_key}, 1).payload == b"{}"


def test_a_key_under_a_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "officer.pem"
    public_key = create_key(path, WORDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    signer = open_key(path, lambda: WORDS)
    assert signer.public_key == public_key
    signs(signer)
    with pytest.raises(PassphraseError, match="another one"):
        open_key(path, lambda: WORDS + "!")
    with pytest.raises(FileExistsError):
        create_key(path, WORDS)


def test_what_is_no_place_for_a_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="11 characters; it needs 12"):
        create_key(tmp_path / "a.pem", "x" * 11)
    with pytest.raises(ValueError, match=r"does not end in \.pem"):
        create_key(tmp_path / "a.key", WORDS)
    assert list(tmp_path.iterdir()) == []


def test_a_machines_key_needs_no_passphrase(tmp_path: Path) -> None:
    path, key = tmp_path / "school.pem", generate_key()
    path.write_bytes(key.to_pem())
    with pytest.raises(PermissionError, match="chmod 600"):
        open_key(path, never)
    path.chmod(0o600)
    assert open_key(path, never).public_key == key.public_key


def token(folder: Path, *more: str) -> Path:
    """A key file whose private half only a command reaches."""
    key = generate_key()
    (folder / "inside.pem").write_bytes(key.to_pem())
    (folder / "card.py").write_text(TOKEN)
    command = [sys.executable, str(folder / "card.py"), str(folder / "inside.pem"), *more]
    path = folder / "token.toml"
    path.write_text(
        'format = "fedtrace-external-key/1"\n'
        f'public_key = "{key.public_key}"\ncommand = {command!r}\n'
    )
    return path


def test_a_token_signs_by_its_command(tmp_path: Path) -> None:
    signs(open_key(token(tmp_path), never))


def shell(script: str) -> CommandSigner:
    return CommandSigner(generate_key().public_key, ["/bin/sh", "-c", script])


@pytest.mark.parametrize(
    ("signer", "sentence"),
    [
        (shell("echo no card in the reader >&2; exit 3"), r"exit code 3\): no card in the reader"),
        (shell(r"printf '\033[31mno card' >&2; exit 1"), r"exit code 1\): \?\[31mno card"),
        (shell("head -c 64 /dev/zero"), "64 bytes that are no signature"),
        (shell("true"), "0 bytes that are no signature"),
        (shell("echo not-base64"), "no signature"),
        (CommandSigner(generate_key().public_key, ["/no/such/program"]), "cannot be run: No such"),
    ],
)
def test_a_token_that_does_not_sign(signer: CommandSigner, sentence: str) -> None:
    with pytest.raises(SignerError, match=sentence):
        sign_envelope(b"{}", TYPE, [signer])


def test_a_token_with_another_key(tmp_path: Path) -> None:
    path = token(tmp_path, "text")
    signs(open_key(path, never))  # base64 is taken too
    other = generate_key().public_key
    right = open_key(path, never).public_key
    path.write_text(path.read_text().replace(right, other))
    with pytest.raises(SignerError, match="is it the right key"):
        signs(open_key(path, never))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("key.toml", b'format = "fedtrace-external-key/1"\n', "public_key: missing"),
        (
            "key.toml",
            b'format = "fedtrace-external-key/1"\ncommand = ["a\\u0000b"]\n'
            b'public_key = "' + base64.b64encode(bytes(32)) + b'"\n',
            "command",
        ),
        ("key.toml", b"\xff\xfe", "not TOML"),
        ("key.pem", b"-----BEGIN NOTHING-----", "not a PEM private key"),
        ("key.pem", b"x" * (KEY_FILE_LIMIT_BYTES + 1), "it is no key"),
    ],
)
def test_what_is_no_key(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises((PolicyError, ValueError), match=sentence):
        open_key(path, never)
