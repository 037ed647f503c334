"""Was this student in? The likelihood ratio attack on released models.

Carlini et al. 2022, "Membership Inference Attacks From First Principles" (arXiv:2112.03570),
algorithm 1 (online): for each student, how well models fit that were trained with the student is
one Gaussian and without the student another; a new model's fit is more likely under one of them.
What counts is how many students are found while almost nobody is accused wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.accounting import attack_bound
from fedtrace.privacy.attacks.statistics import rate_bounds

FloatArray = npt.NDArray[np.float64]
CoinArray = npt.NDArray[np.bool_]

LEAST_MODELS = 2
"""Each student must have been in so many models and out of so many."""

_LEAST_SPREAD = 1e-9
"""Models that are all alike would divide by a spread of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipRate:
    """How many an attacker finds at a rate of wrong accusations.

    Attributes:
        false_alarms: wrong accusations.
        outsiders: pairs of a model and a student who was not in it.
        found: right accusations.
        members: pairs of a model and a student who was in it.
    """

    false_alarms: int
    outsiders: int
    found: int
    members: int

    @property
    def false_alarm_rate(self) -> float:
        """Share of outsiders who were accused."""
        return self.false_alarms / self.outsiders

    @property
    def found_rate(self) -> float:
        """Share of members who were found."""
        return self.found / self.members

    def breaks(self, epsilon: float, delta: float) -> bool:
        """Whether more were found than (epsilon, delta) allows, with 95 % confidence on each side.

        The lower bound on the rate of finds is held against min(1, e^eps * FPR + delta) at the
        upper bound on the rate of false alarms. Scores of one model share its noise, which the
        bounds do not know; that is why both sides give way.
        """
        least_found, _ = rate_bounds(self.found, self.members)
        _, most_alarms = rate_bounds(self.false_alarms, self.outsiders)
        return least_found > attack_bound(epsilon, delta, most_alarms)


def fit_scores(losses: FloatArray) -> FloatArray:
    """A student's fit on the scale on which it is close to a Gaussian.

    The paper's section 4.1: log(p / (1 - p)) of the probability of what happened; here p is the
    geometric mean over a student's answers.

    Args:
        losses: float64 [...], mean cross-entropy of a student's answers, in nats.
    """
    least = np.maximum(losses, 1e-12)
    scores: FloatArray = -least - np.log(-np.expm1(-least))
    return scores


def likelihood_ratios(fits: FloatArray, members: CoinArray) -> FloatArray:
    """Attack each model with all the others as shadow models.

    Means are of each student, the spread is that of all students together: with a few dozen shadow
    models a student's own spread is mostly chance (the paper's section 4.2 and figure 9). Who was
    in which model must have been decided by independent coins: then the number of a student's
    other models does not depend on the attacked one.

    Args:
        fits: float64 [models, students], as of `fit_scores`.
        members: bool [models, students], who was in which model.

    Returns:
        float64 [models, students]: log likelihood ratio of "was in" against "was not", larger for
        a student who seems to have been in.

    Raises:
        ValueError: shapes differ, or a student who was in too few models, or out of too few.
    """
    if fits.shape != members.shape or fits.ndim != 2:
        raise ValueError(f"fits {fits.shape} and members {members.shape} are [models, students]")
    counts = members.sum(axis=0)
    if min(counts.min(), (len(members) - counts).min()) < LEAST_MODELS:
        raise ValueError(f"each student must be in {LEAST_MODELS} models and out of as many")
    log_in = _log_density(fits, members)
    log_out = _log_density(fits, ~members)
    return log_in - log_out


def _log_density(fits: FloatArray, chosen: CoinArray) -> FloatArray:
    """Log density, up to a constant, under a Gaussian over the other models that were chosen."""
    own = np.where(chosen, fits, 0.0)
    others = chosen.sum(axis=0) - chosen  # the attacked model is no shadow of its own
    means = (own.sum(axis=0) - own) / others
    centred = np.where(chosen, fits - own.sum(axis=0) / chosen.sum(axis=0), 0.0)
    freedom = chosen.sum() - chosen.shape[1]  # one mean a student was fitted
    spread = max(float(np.sqrt((centred**2).sum() / freedom)), _LEAST_SPREAD)
    # The spread of a difference between a fit and a mean of so many others.
    width = spread * np.sqrt(1 + 1 / others)
    density: FloatArray = -0.5 * ((fits - means) / width) ** 2 - np.log(width)
    return density


def membership_rate(
    ratios: FloatArray, members: CoinArray, *, false_alarm_rate: float
) -> MembershipRate:
    """Accuse from the largest ratio down, while no more than a rate of outsiders is accused.

    Args:
        ratios: float64 [models, students].
        members: bool [models, students].
        false_alarm_rate: at most this share of outsiders is accused.

    Raises:
        ValueError: everybody is a member, or nobody.
    """
    inside, outside = ratios[members], np.sort(ratios[~members])
    if not (len(inside) and len(outside)):
        raise ValueError("an attack on membership needs members and outsiders")
    allowed = int(false_alarm_rate * len(outside))
    # Above the first outsider who must not be accused; ties with it are not accused either.
    threshold = outside[len(outside) - 1 - allowed] if allowed < len(outside) else -np.inf
    return MembershipRate(
        false_alarms=int((outside > threshold).sum()),
        outsiders=len(outside),
        found=int((inside > threshold).sum()),
        members=len(inside),
    )
