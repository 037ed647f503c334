"""How many examples a property is tried on: a quarter by default, all of them in CI."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

THOROUGH = "FEDTRACE_THOROUGH" in os.environ
"""Set by ``make test-system``, which runs the tests that are marked ``thorough`` a second time."""

FEWEST = 5


def examples_of(number: int) -> int:
    """How many of this number are tried in this run."""
    return number if THOROUGH else max(number // 4, FEWEST)


def examples(number: int) -> Callable[[Callable[..., Any]], Any]:
    """Hypothesis' settings for a property that is slow enough to be tried on fewer by default.

    Args:
        number: how many in CI.
    """
    chosen = settings(max_examples=examples_of(number), deadline=None)
    return lambda test: pytest.mark.thorough(chosen(test))
