"""ISO 8601 durations of years, months and days, as plans and registers write them."""

from __future__ import annotations

import re

_PART = re.compile(r"([0-9]+)([YMD])")
_DAYS = {"Y": 365, "M": 30, "D": 1}


def days(duration: str) -> int:
    """About how many days a duration such as ``P1Y6M`` has; 0 for what is none."""
    return sum(int(number) * _DAYS[unit] for number, unit in _PART.findall(duration))
