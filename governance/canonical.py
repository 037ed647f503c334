"""One value, one sequence of bytes, one digest (RFC 8785, JSON Canonicalization Scheme)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785
from pydantic import BaseModel


def canonical(value: BaseModel | Mapping[str, Any]) -> bytes:
    """RFC 8785 canonical JSON of a model or of plain JSON values.

    Raises:
        ValueError: a number that is not finite, an integer beyond 2^53 - 1, or a value that JSON
            does not have.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else dict(value)
    return rfc8785.dumps(plain)


def digest(payload: bytes) -> str:
    """``sha256:<hex>`` of bytes; the way everything is named here."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"
