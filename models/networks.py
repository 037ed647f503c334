"""The knowledge-tracing networks: from a batch of interactions to the next answers' logits.

All parameters sit in ``nn.Embedding``, ``nn.Linear`` and ``nn.LSTM`` layers that a forward pass
calls exactly once, and a row's logits depend on that row alone. The private trainer keeps its
per-student books for exactly that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedtrace.models.history import COUNTS, FEATURES, history, with_history
from fedtrace.models.interactions import Batch
from fedtrace.models.scaling import COLUMNS, scaled
from fedtrace.models.surprise import surprises

Architecture = Literal["dkt", "pfa", "shared-logistic", "shared-logistic-2", "residual-dkt"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

HEAD_STDDEV = 0.1
"""Spread of a fresh DKT head: small, so that the first predictions are near one half."""


SHARED_COUNTS = 0.35
"""What PFA's shared weights see of the counts: more, and they would use up a student's clipped
gradient, which has to teach the skills' easiness too."""
SLOPES = ("log_wins_skill", "log_failures_skill", "last_answer_other_skill", "ability")
"""Features whose weight ``SharedLogistic`` lets each skill vary."""

_SLOPE_COLUMNS = [COLUMNS.index(name) for name in SLOPES]


class KnowledgeModel(nn.Module, ABC):
    """A model of whether a student will answer the next question right.

    Attributes:
        skills: the size of the skill catalogue; a batch holds ids below it.
        step_factors: by parameter, what a server that trains it should multiply its step with, for
            the parameter's numbers in turn; 1 for a parameter that is not named.
    """

    step_factors: Mapping[str, tuple[float, ...]] = MappingProxyType({})

    def __init__(self, skills: int) -> None:
        super().__init__()
        self.skills = skills

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """float32 [row, time]: the logit of ``correct[t]`` given ``skills[t]`` and all before t."""

    def prepare(self, batch: Batch) -> Batch:
        """The batch with whatever ``forward`` would compute from it alone, for repeated passes."""
        return batch


class DKT(KnowledgeModel):
    """Deep Knowledge Tracing (Piech et al. 2015, "Deep Knowledge Tracing", section 3).

    An LSTM reads (skill, answer) pairs. The head scores only the skill that is asked next, so a
    student moves no row of a skill they never met.

    Args:
        skills: catalogue size.
        embedding_size: width of a (skill, answer) pair's embedding.
        hidden_size: width of the LSTM's state.
    """

    def __init__(self, skills: int, *, embedding_size: int, hidden_size: int) -> None:
        super().__init__(skills)
        self.answered = nn.Embedding(2 * skills, embedding_size)
        self.memory = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.asked = nn.Embedding(skills, hidden_size)
        self.easiness = nn.Embedding(skills, 1)
        nn.init.normal_(self.asked.weight, std=HEAD_STDDEV)
        nn.init.zeros_(self.easiness.weight)

    def forward(self, batch: Batch) -> Tensor:
        """See ``KnowledgeModel.forward``; without a past, the skill's easiness decides alone."""
        known = _recall(self.answered, self.memory, batch)
        score: Tensor = (known * self.asked(batch.skills)).sum(dim=2)
        return score + _column(self.easiness(batch.skills))


class PFA(KnowledgeModel):
    """Performance Factors Analysis with overall counts (Pavlik et al. 2009; Gervet et al. 2020).

    Each skill has an easiness and weights for the student's wins and failures on it, written as
    what all skills share plus what this skill adds; two more shared weights are for wins and
    failures on anything. The shared part changes no prediction that the model can make, but
    every student teaches it, so that it is learnt first and under noise. Counts enter as
    log(1 + count), as in Gervet et al.'s best logistic models.
    """

    def __init__(self, skills: int) -> None:
        super().__init__(skills)
        self.easiness_wins_failures = nn.Embedding(skills, 3)
        self.shared = nn.Linear(4, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """See ``KnowledgeModel.forward``."""
        counts = history(batch)[..., COUNTS]  # [row, time, wins and failures on skill, overall]
        of_skill: Tensor = self.easiness_wins_failures(batch.skills)
        on_skill: Tensor = (of_skill[..., 1:] * counts[..., :2]).sum(dim=2)
        return of_skill[..., 0] + on_skill + _column(self.shared(SHARED_COUNTS * counts))

    def prepare(self, batch: Batch) -> Batch:
        """Compute the counts once."""
        return with_history(batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """How ``SharedLogistic`` shares out the precision and the length of a step.

    A student's gradient is clipped as a whole and noise is the same in every coordinate: a weight
    that sees larger numbers gets more of the precision. A skill's easiness sees 1. And how far a
    weight goes before training ends is what is believed of its size beforehand
    (``fedtrace.deploy.simulation.step_size``), which is another matter than its precision.

    Attributes:
        shared: spread of the features that the shared weights see.
        level: what the level sees.
        slopes: spread of the features that a skill's slopes see.
        shared_step: on the server's step for the shared weights.
        slopes_step: on the server's step for the slopes.
    """

    shared: float
    level: float
    slopes: float
    shared_step: float
    slopes_step: float


FIRST_SCALES = Scales(shared=0.2, level=0.2, slopes=0.3, shared_step=1.0, slopes_step=1.0)
"""Of the architecture ``shared-logistic``, which plans and models of version 0.1.0 mean."""

BALANCED_SCALES = Scales(shared=0.1, level=0.5, slopes=0.45, shared_step=2.0, slopes_step=0.3)
"""Every interaction teaches the shared weights: they need little precision. Slopes vary less than
easiness: a wide feature and short steps leave little noise in them. docs/measurements.md says what
else was tried."""


class SharedLogistic(KnowledgeModel):
    """Logistic regression on rich history features whose weights all skills share.

    19 shared weights and a level, and five parameters a skill: its easiness, and how its slopes on
    four of the features differ from the shared ones (the discrimination of Birnbaum's model on
    ability, 1968; a skill's own weights for wins and failures as in ``PFA``). Level and easiness
    together are what an average student is expected to do; the features are the student's history
    (``fedtrace.models.history``) and how far the student's answers differed from that expectation
    (``fedtrace.models.surprise``).

    The features have mean 0 and public spreads (``fedtrace.models.scaling``).

    Args:
        skills: catalogue size.
        scales: what the weights see, and the length of their steps.
    """

    def __init__(self, skills: int, scales: Scales = BALANCED_SCALES) -> None:
        super().__init__(skills)
        self.scales = scales
        if scales.shared_step != 1 or scales.slopes_step != 1:
            self.step_factors = MappingProxyType(
                {
                    "shared.weight": (scales.shared_step,),
                    "easiness_slopes.weight": (1.0, *[scales.slopes_step] * len(SLOPES)),
                }
            )
        self.shared = nn.Linear(len(COLUMNS), 1, bias=False)
        self.level = nn.Linear(1, 1, bias=False)
        self.easiness_slopes = nn.Embedding(skills, 1 + len(SLOPES))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """See ``KnowledgeModel.forward``."""
        level = batch.correct.new_full((*batch.skills.shape, 1), self.scales.level)
        of_skill: Tensor = self.easiness_slopes(batch.skills)
        average = _column(self.level(level)) + of_skill[..., 0]
        surprised = surprises(batch.correct, torch.sigmoid(average))
        past = scaled(torch.cat([history(batch), surprised], dim=2))
        own: Tensor = (of_skill[..., 1:] * past[..., _SLOPE_COLUMNS]).sum(dim=2)
        return average + _column(self.shared(self.scales.shared * past)) + self.scales.slopes * own

    def prepare(self, batch: Batch) -> Batch:
        """Compute the history once."""
        return with_history(batch)


class LinearBase(nn.Module):
    """Logistic regression on history features with one weight each, and an easiness a skill.

    What ``SharedLogistic`` is without its slopes and surprises. Its gradient is the features
    themselves, which the compiled engine relies on.
    """

    def __init__(self, skills: int) -> None:
        super().__init__()
        self.shared = nn.Linear(len(FEATURES), 1)
        self.easiness = nn.Embedding(skills, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """float32 [row, time]: the base's logit."""
        return _column(self.shared(history(batch))) + _column(self.easiness(batch.skills))


class ResidualDKT(KnowledgeModel):
    """A logistic base on history features plus what a small DKT adds to its logit.

    The correction's head starts at zero, so that training starts from the base's predictions and
    the LSTM only has to learn what the features miss.

    Args:
        skills: catalogue size.
        embedding_size: width of a (skill, answer) pair's embedding.
        hidden_size: width of the LSTM's state.
        base: whose logit is corrected; a ``LinearBase`` if None.
    """

    def __init__(
        self,
        skills: int,
        *,
        embedding_size: int,
        hidden_size: int,
        base: LinearBase | SharedLogistic | None = None,
    ) -> None:
        super().__init__(skills)
        self.base = base or LinearBase(skills)
        self.answered = nn.Embedding(2 * skills, embedding_size)
        self.memory = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.correction = nn.Embedding(skills, hidden_size)
        nn.init.zeros_(self.correction.weight)

    def forward(self, batch: Batch) -> Tensor:
        """See ``KnowledgeModel.forward``."""
        known = _recall(self.answered, self.memory, batch)
        correction: Tensor = (known * self.correction(batch.skills)).sum(dim=2)
        base: Tensor = self.base(batch)
        return base + correction

    def prepare(self, batch: Batch) -> Batch:
        """Compute the base's features once."""
        return with_history(batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a plan says about a model; with a seed it fixes every initial parameter.

    Attributes:
        architecture: one of ``ARCHITECTURES``.
        skills: catalogue size, at least 1.
        hidden_size: width of an LSTM's state, at least 1; the logistic models have none.
        embedding_size: width of an LSTM's input, at least 1; the logistic models have none.

    Raises:
        ValueError: an unknown architecture or a size below 1.
    """

    architecture: Architecture
    skills: int
    hidden_size: int
    embedding_size: int

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ValueError(f"unknown architecture {self.architecture!r}; known: {known}")
        for name in ("skills", "hidden_size", "embedding_size"):
            size = getattr(self, name)
            if size < 1:
                raise ValueError(f"{name} is at least 1, not {size}")


_BUILDERS: Mapping[Architecture, Callable[[ModelSpec], KnowledgeModel]] = MappingProxyType(
    {
        "dkt": lambda spec: DKT(
            spec.skills, embedding_size=spec.embedding_size, hidden_size=spec.hidden_size
        ),
        "pfa": lambda spec: PFA(spec.skills),
        "shared-logistic": lambda spec: SharedLogistic(spec.skills, FIRST_SCALES),
        "shared-logistic-2": lambda spec: SharedLogistic(spec.skills, BALANCED_SCALES),
        "residual-dkt": lambda spec: ResidualDKT(
            spec.skills, embedding_size=spec.embedding_size, hidden_size=spec.hidden_size
        ),
    }
)


def build(spec: ModelSpec, seed: int) -> KnowledgeModel:
    """A fresh network; equal arguments make equal parameters, whatever ran before.

    The logistic models start at zero and ignore the seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _BUILDERS[spec.architecture](spec)


def student_losses(model: KnowledgeModel, batch: Batch) -> Tensor:
    """float32 [row]: each row's mean cross-entropy over its own predictions; 0 where it has none.

    A mean a row, never over the batch: one student's loss cannot depend on who else is there.
    """
    losses = functional.binary_cross_entropy_with_logits(
        model(batch), batch.correct, reduction="none"
    )
    own = torch.where(batch.predicted, losses, 0.0).sum(dim=1)
    return own / batch.predicted.sum(dim=1).clamp(min=1)


def _recall(answered: nn.Embedding, memory: nn.LSTM, batch: Batch) -> Tensor:
    """float32 [row, time, hidden]: the LSTM's state before each interaction; zeros at the first.

    A skill's rows for wrong and right answers are neighbours, at 2 * skill and 2 * skill + 1.
    """
    states, _ = memory(answered(2 * batch.skills + batch.correct.to(torch.int64)))
    before: Tensor = functional.pad(states[:, :-1], (0, 0, 1, 0))
    return before


def _column(single: Tensor) -> Tensor:
    """[row, time, 1] -> [row, time]."""
    return single.squeeze(2)
