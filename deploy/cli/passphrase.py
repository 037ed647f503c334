"""A passphrase from the environment, or from a person who does not see it."""

from __future__ import annotations

import os

import typer


def ask_passphrase(prompt: str, variable: str, *, twice: bool) -> str:
    """The value of an environment variable, or what is typed.

    Args:
        prompt: what the person is asked.
        variable: the environment variable's name.
        twice: ask again, because nobody can tell later what was meant.
    """
    given = os.environ.get(variable)
    if given is not None:
        return given
    typed: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True)
    return typed
