"""What a passphrase must be: one rule for backups and for people's keys."""

from __future__ import annotations

PASSPHRASE_CHARACTERS = 12


def require_passphrase(passphrase: str) -> None:
    """Refuse a passphrase that is quickly guessed.

    Raises:
        ValueError: it is too short.
    """
    if len(passphrase) < PASSPHRASE_CHARACTERS:
        raise ValueError(
            f"the passphrase has {len(passphrase)} characters; it needs {PASSPHRASE_CHARACTERS} or "
            "more, because whoever gets the file can try as many as they like. Take five words"
        )
