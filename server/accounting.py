"""The accountant, asked once a question: composing privacy losses takes most of a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fedtrace.governance.ledger import Accountant, PrivacyEvent

Kinds = Counter[tuple[float, float]]
"""(noise multiplier, sampling rate) -> count: all that an epsilon depends on."""


def kinds(events: Iterable[PrivacyEvent]) -> Kinds:
    """Equal releases counted together; composition does not depend on their order."""
    counted: Kinds = Counter()
    for event in events:
        counted[event.noise_multiplier, event.sampling_rate] += event.count
    return counted


def remembering(accountant: Accountant) -> Accountant:
    """An accountant that computes every epsilon once.

    Args:
        accountant: (events, delta) -> epsilon; must be a pure function.
    """
    known: dict[tuple[frozenset[tuple[tuple[float, float], int]], float], float] = {}

    def epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
        question = (frozenset(kinds(events).items()), delta)
        if question not in known:
            known[question] = accountant(events, delta)
        return known[question]

    return epsilon
