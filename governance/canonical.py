"""One value, one sequence of bytes, one digest (RFC 8785, JSON Canonicalization Scheme)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import rfc8785
from pydantic import BaseModel

_LARGEST_INTEGER = 2**53 - 1


def canonical(value: BaseModel | Mapping[str, Any]) -> bytes:
    """RFC 8785 canonical JSON of a model or of plain JSON values.

    Raises:
        ValueError: a number that is not finite, an integer beyond 2^53 - 1, or a value that JSON
            does not have.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else dict(value)
    if _is_simple(plain):
        return _encoder.encode(plain).encode()
    return rfc8785.dumps(plain)


def digest(payload: bytes) -> str:
    """``sha256:<hex>`` of bytes; the way everything is named here."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"


_encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
"""Writes the same bytes as ``rfc8785`` for what `_is_simple` allows, several times as fast."""


def _is_simple(value: object) -> bool:
    """Whether there is neither a float in it nor a key that UTF-16 would sort elsewhere."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if isinstance(value, dict):
        return all(
            type(key) is str and key.isascii() and _is_simple(each) for key, each in value.items()
        )
    if isinstance(value, list):
        return all(map(_is_simple, value))
    return isinstance(value, int) and kind is int and abs(value) <= _LARGEST_INTEGER
