"""A schema as one regular expression over canonical JSON: the fast yes of reading a log.

Most of the time of verifying a million entries would go into building a million models that
nobody looks at. The bytes of an entry's data have one encoding, so a closed schema of digests,
names, codes and small numbers is a regular expression. What it matches is valid, in its canonical
form. What it does not match may still be valid (a number of 16 digits): then the schema is asked.

Only schemas of the kinds that entries have are understood; another is an error when the program
starts, never a wider pattern.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_DIGITS_EXACT = 15
"""Integers of at most so many digits are JSON numbers that every program reads alike."""


def data_pattern(model: type[BaseModel]) -> re.Pattern[bytes]:
    """A pattern that matches only canonical JSON of valid values of a model, keys in order.

    Raises:
        TypeError: the model has a field that no pattern can stand for.
    """
    schema = model.model_json_schema()
    return re.compile(_pattern(schema, schema.get("$defs", {})).encode("ascii"))


def _pattern(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    match schema:
        case {"$ref": str(name)}:
            return _pattern(defs[name.rpartition("/")[2]], defs)
        case {"anyOf": list(choices)}:
            return "(?:" + "|".join(_pattern(choice, defs) for choice in choices) + ")"
        case {"const": str(value)}:
            return f'"{re.escape(value)}"'
        case {"enum": list(values)} if all(isinstance(value, str) for value in values):
            return '"(?:' + "|".join(re.escape(value) for value in values) + ')"'
        case {"type": "string", "pattern": str(pattern)}:
            return f'"(?:{_inside(pattern)})"'
        case {"type": "integer", "minimum": 0 | 1 as least, "maximum": int(most)}:
            # One digit less than the bound has, so that no number above the bound matches.
            more = min(_DIGITS_EXACT, len(str(most)) - 1) - 1
            number = f"[1-9][0-9]{{0,{more}}}"
            return number if least else f"(?:0|{number})"
        case {"type": "boolean"}:
            return "(?:true|false)"
        case {"type": "null"}:
            return "null"
        case {"type": "array", "items": dict(items)} if not set(schema) & {"minItems", "maxItems"}:
            one = _pattern(items, defs)
            return rf"\[(?:{one}(?:,{one})*)?\]"
        case {"type": "object", "properties": dict(fields), "additionalProperties": False}:
            if set(fields) != set(schema.get("required", ())):
                raise TypeError("an entry has a key that may be left out")
            pairs = (f'"{name}":{_pattern(fields[name], defs)}' for name in sorted(fields))
            return r"\{" + ",".join(pairs) + r"\}"
        case {"type": "object", "additionalProperties": False} if "properties" not in schema:
            return r"\{\}"
    raise TypeError(f"no pattern can stand for {dict(schema)}")


def _inside(pattern: str) -> str:
    """A string's own pattern without its ends; it may not let a quote or an escape through.

    Raises:
        TypeError: it is open at an end, or a character class of it is not a plain one.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise TypeError(f"the pattern {pattern} is open at an end")
    if re.search(r"\[\^|\\[^.]|\"|(?<!\\)\.(?![^\[]*\])", pattern):
        raise TypeError(f"the pattern {pattern} could match a quote")
    return re.sub(r"\((?!\?)", "(?:", pattern[1:-1])  # a longer pattern counts its own groups
