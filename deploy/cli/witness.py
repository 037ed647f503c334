"""``fedtrace audit witness``: cosign logs for somebody who is no member."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import read_charter
from fedtrace.deploy.cli.output import plain_errors, print_lines, say_next

app = typer.Typer(help="Cosign logs for somebody who is no member.", no_args_is_help=True)

Home = Annotated[Path, typer.Option("--home", help="The witness's folder.")]


@app.callback()
def witness() -> None:
    """A witness of its own, which speaks C2SP's tlog-witness; members witness by themselves."""


@app.command()
def init(
    home: Home,
    name: Annotated[
        str, typer.Option(help="What stands in its cosignatures, such as archive.example.org.")
    ],
) -> None:
    """Make a witness's folder and keys, and print the lines that a trust policy needs."""
    from fedtrace.deploy.witness import create_home

    with plain_errors():
        made = create_home(home, name=name)
    print_lines("\n".join(f"{each.verifier.to_text()}" for each in made.cosigners))
    say_next(f"fedtrace audit witness serve --home {home} --charter charter.json")


@app.command()
def serve(
    home: Home,
    charter: Annotated[
        list[Path], typer.Option(help="A consortium whose log is witnessed; may be repeated.")
    ],
    host: Annotated[str, typer.Option(help="Which address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Which port.")] = 8460,
) -> None:
    """Answer add-checkpoint requests over HTTP until it is ended."""
    from fedtrace.deploy.witness import alone, open_home, witness_service
    from fedtrace.governance.log.witness import Witness

    with plain_errors():
        rules = [read_charter(path) for path in charter]
        opened = open_home(home)
        logs = {each.log.origin: each.log.public_key for each in rules}
        answering = Witness(opened, logs=logs, cosigners=opened.cosigners)
        with (
            alone(opened),
            witness_service(host, port, answering, now=lambda: datetime.now(UTC)),
        ):
            print_lines(
                f"witnessing {', '.join(sorted(logs))} at http://{host}:{port}/add-checkpoint"
            )
            threading.Event().wait()
