"""Reading JSON events by a few named paths, and naming what is dropped without its content."""

from __future__ import annotations

import re
from hashlib import blake2b
from math import isfinite

from fedtrace.client.ingest.events import Event

MAX_NAMES = 200
OTHER = "other names"
MAX_SEEN = 10_000_000
"""Identifiers of one file: about a gigabyte."""

_PLAIN_NAME = re.compile(r"[A-Za-z@_][A-Za-z0-9_-]{0,39}")


class Dropped:
    """The names of an event's members, at most two deep, that are not read.

    A name is a key, which a system may have made from anything; one that does not look like a
    name of the standard is counted under `OTHER`.
    """

    def __init__(self, kept: frozenset[str]) -> None:
        self._kept = kept
        self._shapes: set[tuple[str, ...]] = set()
        self._names: dict[str, None] = {}

    def see(self, event: Event) -> None:
        """Note the names of one event."""
        self._see(event, "")
        for name, value in event.items():
            if isinstance(value, dict) and name in ("actor", "object", "result", "generated"):
                self._see(value, f"{name}.")

    def names(self) -> tuple[str, ...]:
        """What was dropped, in the order in which it was first seen."""
        return tuple(self._names)

    def _see(self, values: Event, before: str) -> None:
        shape = (before, *values)
        if shape in self._shapes or len(self._names) >= MAX_NAMES:
            return
        if len(self._shapes) < MAX_NAMES:
            self._shapes.add(shape)
        for key in values:
            name = before + (key if _PLAIN_NAME.fullmatch(key) else OTHER)
            if not any(path == name or path.startswith(f"{name}.") for path in self._kept):
                self._names.setdefault(name)


class Seen:
    """Which identifiers came before: eight bytes of a hash each, never the identifier."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def again(self, identifier: str) -> bool:
        """Whether this one came before; it has, from now on. "" never does.

        Raises:
            ValueError: there are more than `MAX_SEEN`.
        """
        if not identifier:
            return False
        digest = short_digest(identifier)
        if digest in self._digests:
            return True
        if len(self._digests) >= MAX_SEEN:
            raise ValueError(f"the file has more than {MAX_SEEN:,} events: export a shorter time")
        self._digests.add(digest)
        return False


def short_digest(text: str) -> bytes:
    """Eight bytes that stand for an identifier while a file is read."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def member(value: object, *names: str) -> object:
    """What a path of names leads to; None where it leads nowhere."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text(value: object, *names: str) -> str:
    """The text at a path; "" where there is none, or one that cannot be written as UTF-8."""
    found = member(value, *names)
    if not isinstance(found, str):
        return ""
    try:
        found.encode()
    except UnicodeEncodeError:
        return ""
    return found.strip()


def number(value: object, *names: str) -> float | None:
    """The finite number at a path."""
    found = member(value, *names)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        return float(found) if isfinite(found) else None
    except OverflowError:
        return None


def identifier(value: object) -> str:
    """An entity's IRI, whether it is written out as an object or as the IRI alone."""
    return text({"id": value}, "id") or text(value, "id")


def identifiers(value: object) -> list[str]:
    """The IRIs of one entity or of a list of them."""
    entities = value if isinstance(value, list) else [value]
    return [found for found in map(identifier, entities) if found]
