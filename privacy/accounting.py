"""From privacy events to epsilon, from epsilon to noise, and what an epsilon means in words.

Epsilon is always computed from events, never stored on disk: dp-accounting's privacy loss
distributions give the number that is printed, Rényi DP a second opinion. Adjacency is
add-or-remove-one student throughout, and all events are Gaussian releases of sensitivity C to
which each student came by an independent coin of probability q.

Opacus' GDP accountant is never used: it rests on a central limit theorem and may understate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import dp_accounting
from dp_accounting import pld, rdp

from fedtrace.privacy.noise import require_noise_multiplier

PLD_INTERVAL = 1e-3
"""Width of one cell of a discretised privacy loss distribution; rounding is pessimistic."""

PLD_LIMIT = 100.0
"""Where Rényi DP already gives a larger epsilon, that (a valid bound) is returned instead.

A privacy loss distribution of such events has many millions of cells, and nobody needs the third
digit of an epsilon of 100.
"""

WHOLE_ORDERS = (*range(2, 64), *range(64, 256, 16), 256, 512, 1024)
"""Rényi orders where students are sampled: the series of a fractional order may not converge."""

FRACTIONAL_ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *WHOLE_ORDERS[9:])
"""Rényi orders where everybody takes part: the Gaussian's divergence is exact at each."""

CALIBRATION_TOLERANCE = 1e-3
"""A calibrated noise multiplier is at most this fraction above the smallest that suffices."""

LARGEST_NOISE_MULTIPLIER = 1e6
"""Where calibration gives up: so much noise leaves nothing to learn."""


class EventLike(Protocol):
    """What accounting reads from a privacy event.

    Attributes:
        noise_multiplier: z, standard deviation of the noise over the clipping norm; 0 is no
            privacy.
        sampling_rate: q, probability that a student took part.
        count: how many equal releases.
    """

    @property
    def noise_multiplier(self) -> float:
        """See the class."""

    @property
    def sampling_rate(self) -> float:
        """See the class."""

    @property
    def count(self) -> int:
        """See the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianEvent:
    """``count`` releases of a Poisson-sampled Gaussian sum, for questions about the future."""

    noise_multiplier: float
    sampling_rate: float
    count: int


def merged(events: Iterable[EventLike]) -> tuple[GaussianEvent, ...]:
    """Equal events joined into one with their summed count; what costs nothing is left out.

    Composition does not depend on the order of events, and the k-fold self-composition of one
    distribution costs a few Fourier transforms where k compositions cost k.

    Raises:
        ValueError: an event with a negative or infinite noise multiplier, a sampling rate outside
            [0, 1] or a negative count.
    """
    counts: Counter[tuple[float, float]] = Counter()
    for event in events:
        require_noise_multiplier(event.noise_multiplier)
        if not 0 <= event.sampling_rate <= 1:
            raise ValueError(f"a sampling rate lies in [0, 1], not {event.sampling_rate}")
        if event.count < 0:
            raise ValueError(f"an event happened at least 0 times, not {event.count}")
        if event.count and event.sampling_rate:
            counts[float(event.noise_multiplier), float(event.sampling_rate)] += event.count
    return tuple(
        GaussianEvent(noise_multiplier=z, sampling_rate=q, count=count)
        for (z, q), count in sorted(counts.items())
    )


def epsilon(events: Iterable[EventLike], delta: float) -> float:
    """Epsilon of everything in ``events`` together, an upper bound that is tight to about 1e-3.

    Privacy loss distributions after Koskela et al. 2020 and Doroshenko et al. 2022 ("Connect the
    Dots"), as in Google's dp-accounting: pessimistic discretisation, composition by FFT.

    Args:
        events: any mixture; an empty one costs 0.
        delta: in (0, 1).

    Returns:
        Epsilon, infinite where an event had no noise.

    Raises:
        ValueError: a delta outside (0, 1) or an event that ``merged`` refuses.
    """
    distinct = merged(events)
    coarse = epsilon_rdp(distinct, delta)
    if coarse == 0 or coarse > PLD_LIMIT:
        return coarse
    return min(coarse, _epsilon_pld(distinct, delta))


def epsilon_rdp(events: Iterable[EventLike], delta: float) -> float:
    """Epsilon by Rényi DP: looser than ``epsilon``, and computed by other means.

    Mironov 2017 ("Rényi Differential Privacy"), Mironov et al. 2019 for the sampled Gaussian, and
    the conversion of Canonne et al. 2020, proposition 12, over dp-accounting's default orders.

    Arguments, result and errors are those of ``epsilon``.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta lies between 0 and 1, not {delta}")
    distinct = merged(events)
    if not distinct:
        return 0.0
    if any(event.noise_multiplier == 0 for event in distinct):
        return math.inf
    sampled = any(event.sampling_rate < 1 for event in distinct)
    accountant = rdp.RdpAccountant(
        orders=WHOLE_ORDERS if sampled else FRACTIONAL_ORDERS,
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
    )
    return _compose(accountant, distinct, delta)


def calibrate_noise(
    *,
    target_epsilon: float,
    delta: float,
    sampling_rate: float,
    rounds: int,
    extra: Sequence[EventLike] = (),
) -> float:
    """The smallest noise multiplier, to a part in a thousand, whose epsilon is within the target.

    Ends on the safe side: the value returned was itself accounted and does not exceed the target.

    Args:
        target_epsilon: what may be spent in all, ``extra`` included.
        delta: in (0, 1).
        sampling_rate: q of each round.
        rounds: number of training rounds, at least 1.
        extra: other releases from the same budget (evaluations, earlier jobs).

    Raises:
        ValueError: a target that is not positive, a count or rate outside its range, or extra
            events that alone spend the target.
    """
    if not 0 < target_epsilon < math.inf:
        raise ValueError(f"a target epsilon is positive and finite, not {target_epsilon}")
    if rounds < 1:
        raise ValueError(f"a job has at least 1 round, not {rounds}")
    if not 0 < sampling_rate <= 1:
        raise ValueError(f"a sampling rate lies in (0, 1], not {sampling_rate}")
    spent = epsilon(extra, delta)
    if spent >= target_epsilon:
        raise ValueError(
            f"the other releases already spend epsilon {spent:.4g} of {target_epsilon:.4g}"
        )

    def cost(noise_multiplier: float) -> float:
        job = GaussianEvent(
            noise_multiplier=noise_multiplier, sampling_rate=sampling_rate, count=rounds
        )
        return epsilon([*extra, job], delta)

    return _smallest_sufficient(cost, target_epsilon)


def attack_bound(epsilon: float, delta: float, false_alarm_rate: float) -> float:
    """The most an attacker can hope for: true alarms at a given rate of false ones.

    Every test of "was this student in the data?" has true positive rate at most
    e^epsilon * FPR + delta (Wasserman and Zhou 2010, theorem 2.4; Kairouz et al. 2015, theorem
    2.1).

    Returns:
        A probability.

    Raises:
        ValueError: a negative epsilon, or a rate outside [0, 1].
    """
    if not epsilon >= 0:
        raise ValueError(f"epsilon is at least 0, not {epsilon}")
    if not (0 <= delta <= 1 and 0 <= false_alarm_rate <= 1):
        raise ValueError(f"rates lie in [0, 1], not {delta} and {false_alarm_rate}")
    if false_alarm_rate == 0:
        return delta
    exponent = epsilon + math.log(false_alarm_rate)
    return 1.0 if exponent >= 0 else min(1.0, math.exp(exponent) + delta)


def epsilon_sentence(
    epsilon: float, delta: float, *, trust_mode: str, false_alarm_rate: float = 0.01
) -> str:
    """What an epsilon promises, for people who do not know the word; never say "anonymous".

    Args:
        epsilon: as computed; infinite means no promise.
        delta: the delta it was computed at.
        trust_mode: "local" or "distributed", printed as it is.
        false_alarm_rate: how often the imagined attacker may accuse wrongly.
    """
    terms = (
        f"unit: one student, adjacency: add or remove one student, delta {delta:g}, "
        f"trust mode: {trust_mode}"
    )
    if math.isinf(epsilon):
        return f"No differential privacy ({terms}): nothing bounds what can be learnt of a student."
    caught = attack_bound(epsilon, delta, false_alarm_rate)
    return (
        f"Epsilon {epsilon:.2f} ({terms}): whoever tries to tell from everything that was released "
        f"whether one particular student took part, and wrongly accuses at most "
        f"{_percent(false_alarm_rate)} of the others, finds a student who did at most "
        f"{_percent(caught)} of the time."
    )


@lru_cache(maxsize=1024)
def _epsilon_pld(distinct: tuple[GaussianEvent, ...], delta: float) -> float:
    """Epsilon by privacy loss distributions: some 0.2 s, so no process computes one twice.

    Every log, ledger and plan of a consortium asks about the same few rounds. The answer is a
    function of the two arguments alone, and nothing but these numbers is remembered.
    """
    accountant = pld.PLDAccountant(
        dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, PLD_INTERVAL
    )
    return _compose(accountant, distinct, delta)


def _compose(accountant: Any, events: Iterable[GaussianEvent], delta: float) -> float:
    """Feed events to one of dp-accounting's accountants and ask it."""
    for event in events:
        release: Any = dp_accounting.GaussianDpEvent(event.noise_multiplier)
        if event.sampling_rate < 1:
            release = dp_accounting.PoissonSampledDpEvent(event.sampling_rate, release)
        accountant.compose(release, event.count)
    return float(accountant.get_epsilon(delta))


def _smallest_sufficient(cost: Callable[[float], float], target: float) -> float:
    """Bracket the answer between too little and enough, and narrow it; returns the enough end.

    Epsilon is close to a power of z, so a line through both ends in logarithms hits the answer
    almost at once. It is aimed a little above and a little below in turn, to move both ends.
    """
    enough, enough_cost = 1.0, cost(1.0)
    too_little, too_little_cost = enough, enough_cost
    while enough_cost > target:
        too_little, too_little_cost = enough, enough_cost
        enough *= 2
        if enough > LARGEST_NOISE_MULTIPLIER:
            raise ValueError(
                f"no noise multiplier up to {LARGEST_NOISE_MULTIPLIER:g} keeps epsilon within "
                f"{target:g}: the other releases leave too little"
            )
        enough_cost = cost(enough)
    while too_little_cost <= target:
        enough, enough_cost = too_little, too_little_cost
        too_little /= 2
        too_little_cost = cost(too_little)
    aim = CALIBRATION_TOLERANCE / 3
    while enough > too_little * (1 + CALIBRATION_TOLERANCE):
        share = 0.5
        if enough_cost > 0 and math.isfinite(too_little_cost):
            share = math.log(too_little_cost / target) / math.log(too_little_cost / enough_cost)
        width = math.log(enough / too_little)
        # Never closer to an end than a tenth of the way: where the line misleads, this bisects.
        offset = min(max(share * width + aim, 0.1 * width), 0.9 * width)
        guess = too_little * math.exp(offset)
        guess_cost = cost(guess)
        if guess_cost <= target:
            enough, enough_cost = guess, guess_cost
        else:
            too_little, too_little_cost = guess, guess_cost
        aim = -aim
    return enough


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %" if rate < 0.995 else "100 %"
