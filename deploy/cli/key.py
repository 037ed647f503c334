"""``fedtrace key``: the keys that people sign plans and charters with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import naming
from fedtrace.deploy.cli.output import plain_errors, print_lines, say_next
from fedtrace.deploy.cli.passphrase import ask_passphrase
from fedtrace.governance.signing import Signer

app = typer.Typer(help="Make and show the keys that people sign with.", no_args_is_help=True)

PASSPHRASE_VARIABLE = "FEDTRACE_KEY_PASSPHRASE"  # noqa: S105 - a name
"""Environment variable with a key's passphrase, for a machine that nobody sits at."""

KeyFile = Annotated[Path, typer.Argument(help="NAME.pem, or NAME.toml of a token.", metavar="FILE")]
SigningKey = Annotated[
    Path,
    typer.Option(
        "--key", help="What signs: NAME.pem, NAME.toml of a token, or the school's keys/school.pem."
    ),
]


@app.callback()
def key() -> None:
    """Keys of people: a school's machine has its own, which fedtrace school join makes."""


@app.command()
def new(path: Annotated[Path, typer.Argument(help="A new NAME.pem.", metavar="FILE")]) -> None:
    """Make a key for one person, under a passphrase, and print its public half."""
    from fedtrace.deploy.keyring import create_key

    with plain_errors():
        public_key = create_key(path, _passphrase(path, twice=True))
    print_lines(public_key)
    say_next(
        "give this line, not the file, to whoever writes the charter; keep the file where only "
        "you reach it"
    )


@app.command()
def show(path: KeyFile) -> None:
    """Print the public half of a key."""
    print_lines(signer_of(path).public_key)


def signer_of(path: Path) -> Signer:
    """What signs with the key of a file; a person is asked for its passphrase where it has one.

    Raises:
        typer.Exit: it cannot be opened; the sentence is printed.
    """
    from fedtrace.deploy.keyring import open_key

    with plain_errors(), naming(path):
        return open_key(path, lambda: _passphrase(path, twice=False))


def _passphrase(path: Path, *, twice: bool) -> str:
    return ask_passphrase(f"Passphrase of {path.name}", PASSPHRASE_VARIABLE, twice=twice)
