"""From the TOML that people write to a document, with errors that say where, what and the bound.

The TOML is turned into JSON values and validated by the same strict models that read signed
bytes: what loads here is exactly what can be signed.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from datetime import datetime
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedtrace.governance.document import Document, reason_of
from fedtrace.governance.errors import PolicyError

_Document = TypeVar("_Document", bound=Document)

_VALUE_LIMIT = 60


def load(text: str, document: type[_Document]) -> _Document:
    """Read one document from TOML.

    Args:
        text: the file's text.
        document: what it should be.

    Raises:
        PolicyError: every problem on a line of its own.
    """
    if len(text) > document.limit_bytes:
        raise PolicyError(
            f"the file has {len(text)} characters, at most {document.limit_bytes} are read"
        )
    try:
        values = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(f"not TOML: {error}") from error
    try:
        source = json.dumps(values, default=_plain)
        return document.model_validate_json(source)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise PolicyError(
            "\n".join(_sentence(problem, document) for problem in problems)
        ) from error
    except ValueError as error:
        raise PolicyError(str(error)) from error


def _plain(value: object) -> str:
    """TOML has dates; JSON has strings."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise ValueError(f"{value} is a date or a time alone; write a moment, 2026-09-01T00:00:00Z")


def _sentence(problem: ErrorDetails, document: type[BaseModel]) -> str:
    """``privacy.delta: 2 is not allowed: input should be less than 1``."""
    location = problem["loc"]
    path = ".".join(str(part) for part in location) or "the whole file"
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown key{_nearest(str(location[-1]), document, location[:-1])}"
    if problem["type"] == "missing":
        return f"{path}: missing"
    reason = reason_of(problem)
    if not location:  # what came is all of it
        return f"{path}: {reason}"
    reason = reason[:1].lower() + reason[1:]
    return f"{path}: {_shown(problem['input'])} is not allowed: {reason}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _VALUE_LIMIT else f"{text[:_VALUE_LIMIT]}..."


def _nearest(key: str, document: type[BaseModel], path: tuple[int | str, ...]) -> str:
    """The known key that was probably meant, or all that are known there."""
    known = sorted(_model_at(document, path).model_fields)
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}"


def _model_at(document: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that describes the table at ``path``; the document where there is none."""
    here = document
    for part in path:
        if isinstance(part, str) and part in here.model_fields:
            inner = _models_in(here.model_fields[part].annotation)
            here = inner[0] if inner else here
    return here


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside ``tuple[Member, ...]``, ``Section | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, UnionType) or get_args(annotation):
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []
