"""The content of ``report.json``: flat, one name a fact, no student data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Condition = Literal[
    "private",
    "personalised",
    "federated",
    "federated_finetuned",
    "local_only",
    "centralised",
]
"""One way of training on the same split; only the private ones carry a promise to students."""

Status = Literal["PASS", "WARN", "FAIL"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Epsilon = Annotated[float, Field(ge=0)] | None
"""None where nothing bounds it: no noise was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionText:
    """How a condition is called and explained to people."""

    title: str
    sentence: str


CONDITIONS: Mapping[Condition, ConditionText] = {
    "private": ConditionText(
        title="Together, protected",
        sentence="The schools trained one model; clipping and noise protect every student.",
    ),
    "personalised": ConditionText(
        title="Protected, then adjusted at school",
        sentence="The protected model, adjusted by each school on its own students, with networks "
        "of its own on top; these never leave the school, so they cost no privacy.",
    ),
    "federated": ConditionText(
        title="Together, unprotected",
        sentence="The schools trained one model and nothing hid a single student's influence.",
    ),
    "federated_finetuned": ConditionText(
        title="Unprotected, then adjusted at school",
        sentence="The unprotected model, adjusted by each school on its own students.",
    ),
    "local_only": ConditionText(
        title="Each school alone",
        sentence="Every school trained its own model on its own students in the same way and "
        "shared nothing.",
    ),
    "centralised": ConditionText(
        title="All records pooled",
        sentence="One model trained on everybody's pooled records: what schools want to avoid, "
        "shown for comparison.",
    ),
}
"""Every condition, in the order in which a page lists them."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Scores(_Part):
    """How well predictions met the answers of held-out students.

    Attributes:
        auc: area under the ROC curve; None where all answers are alike.
        acc: share of answers on the right side of one half.
        logloss: mean cross-entropy in nats.
        calibration_error: expected calibration error; None where it was not computed.
        students: test students judged; None where the number was not released.
        interactions: predictions judged; None where the number was not released.
    """

    auc: Share | None
    acc: Share
    logloss: Annotated[float, Field(ge=0)]
    calibration_error: Share | None = None
    students: Count | None = None
    interactions: Count | None = None


class ConditionScores(_Part):
    """One condition's scores over all test students, and school by school."""

    pooled: Scores
    per_school: dict[str, Scores]


class RoundRecord(_Part):
    """What happened in one round, as the aggregator saw it.

    Attributes:
        round: from 1.
        start: when the orders left.
        end: when the round was closed.
        answered: schools whose update was accepted.
        missing: schools that did not answer in time.
        refused: school to the code of its refusal.
        rejected: school to the check that its contribution failed.
    """

    round: Annotated[int, Field(ge=1)]
    start: AwareDatetime
    end: AwareDatetime
    answered: tuple[str, ...]
    missing: tuple[str, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict)
    rejected: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"round {self.round} ends at {self.end}, before it starts")
        return self


class Released(_Part):
    """One kind of thing that left one school, in how many rounds and how large in all."""

    school: str
    what: str
    bytes: Count
    rounds: Count


class LogSize(_Part):
    """All logs of the run together."""

    entries: Count
    bytes: Count


class VerificationLine(_Part):
    """One check by the verifier, as ``fedtrace audit verify`` prints it."""

    status: Status
    check: str
    sentence: str


class Report(_Part):
    """One training run.

    Attributes:
        created: when the report was written.
        engine: ``loopback``: real SuperLink and SuperNodes over TLS on one machine;
            ``in-process``: the same code of schools and aggregator without a network; ``ray``:
            the same, and the schools' answers computed by workers of Ray.
        purpose: the plan's purpose, in the plan's words.
        plan_digest: the plan that every school accepted; None for a run without a plan.
        data: what was trained on, in a few words.
        schools: number of schools; likewise students, interactions, skills and rounds.
        model: architecture; ``parameters`` is its number of trained values.
        epsilon: the whole run's, evaluation included; None where nothing bounds it.
        epsilon_by_round: spent after round 1, 2, ...
        epsilon_sentence: what the number means, in plain words.
        metrics: exact scores on the test students. Whoever runs a simulation may compute them;
            schools do not release them, and epsilon does not cover them.
        evaluation_released: scores from the noised histograms, the only ones schools release.
        timeline: one record a round.
        seconds: seconds by phase.
        verification: the worst status of ``verification_lines``.
        split: how students were divided, in one sentence.
        seed: makes split, initial parameters and comparisons repeatable; the noise never is.
        versions: package name to version.
    """

    format: Literal["fedtrace-report/1"] = "fedtrace-report/1"
    created: AwareDatetime
    engine: Literal["loopback", "in-process", "ray"]
    purpose: str
    plan_digest: str | None = None
    data: str
    schools: Count
    students: Count
    interactions: Count
    skills: Count
    rounds: Count
    model: str
    parameters: Count
    epsilon: Epsilon
    delta: Annotated[float, Field(gt=0, lt=1)]
    unit: str
    adjacency: str
    trust_mode: str
    noise_multiplier: Annotated[float, Field(ge=0)]
    clipping_norm: Annotated[float, Field(gt=0)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    epsilon_by_round: tuple[Epsilon, ...]
    epsilon_sentence: str
    metrics: dict[Condition, ConditionScores]
    evaluation_released: Scores | None = None
    timeline: tuple[RoundRecord, ...]
    released: tuple[Released, ...]
    seconds: dict[str, Seconds]
    log_size: LogSize
    verification: Status
    verification_lines: tuple[VerificationLine, ...]
    split: str
    seed: int | None
    versions: dict[str, str]

    @model_validator(mode="after")
    def _verification_is_the_worst_line(self) -> Self:
        worst = worst_status(self.verification_lines)
        if self.verification != worst:
            raise ValueError(f"verification is {self.verification} and its worst line is {worst}")
        return self


def worst_status(lines: tuple[VerificationLine, ...]) -> Status:
    """FAIL before WARN before PASS; no line at all is WARN, because nothing was checked."""
    found = {line.status for line in lines}
    return next((status for status in reversed(get_args(Status)) if status in found), "WARN")
