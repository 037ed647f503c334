"""Is there privacy budget left for what is asked? Cheap in every round, exact at the limit.

Composing a privacy loss distribution takes a good part of a second, and the question comes up
before every round. Epsilon never falls when an event is added, so once a whole job is known to
fit, each of its rounds fits too: only a question that no earlier answer covers is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fedtrace.governance.ledger import PrivacyEvent, would_exceed
from fedtrace.privacy.accounting import epsilon

_Limit = tuple[float, float]
"""(epsilon, delta)."""

_Releases = Counter[tuple[float, float]]
"""(noise multiplier, sampling rate) -> how many releases: events of one kind differ in nothing
else that the accountant sees."""


class BudgetCheck:
    """`fedtrace.governance.ledger.would_exceed` with the PLD accountant, remembering what fits.

    What it remembers is mathematics, not state: that so many releases of such kinds stay within
    an (epsilon, delta). It holds for every school and every ledger.
    """

    def __init__(self) -> None:
        self._fitting: dict[_Limit, _Releases] = {}

    def __call__(
        self,
        already: Sequence[PrivacyEvent],
        new_events: Sequence[PrivacyEvent],
        *,
        budget_epsilon: float,
        delta: float,
    ) -> bool:
        """True if both together pass the budget; see ``would_exceed``."""
        limit = (budget_epsilon, delta)
        asked: _Releases = Counter()
        for event in (*already, *new_events):
            asked[event.noise_multiplier, event.sampling_rate] += event.count
        if asked <= self._fitting.get(limit, Counter()):
            return False
        exceeded = would_exceed(
            already, new_events, budget_epsilon=budget_epsilon, delta=delta, epsilon=epsilon
        )
        if not exceeded:
            self._fitting[limit] = asked
        return exceeded
