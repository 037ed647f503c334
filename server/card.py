"""The model card: what a released model is, who made it, what it promises, how good it is.

``card.json`` is for programs (`docs/formats/model-card.md`), ``card.md`` says the same for
people. Both are made from stored values only, so that they come out byte for byte the same when a
restart publishes them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelSection(_Part):
    """The released file and the network that it fits."""

    digest: Digest
    bytes: Count
    tensor: Literal["parameters"] = "parameters"
    architecture: str
    skills: Count
    hidden_size: Count
    embedding_size: Count
    parameters: Count
    schema_fingerprint: str
    skill_catalogue_digest: str


class PlanSection(_Part):
    """The signed plan it was trained under."""

    name: str
    digest: Digest
    purpose: str
    commercial_use: bool
    released_to: str


class RunSection(_Part):
    """The run that made it."""

    run_id: str
    started_at: AwareDatetime
    ended_at: AwareDatetime
    ended_because: str
    rounds_planned: Count
    rounds_closed: Count
    checkpoints_averaged: Count
    optimiser: str
    learning_rate: float


class SchoolSection(_Part):
    """How often one school's contribution was summed, and how often it was not and why."""

    name: str
    answered: Count
    missing: Count
    refused: dict[str, Count]
    rejected: dict[str, Count]


class PrivacySection(_Part):
    """The promise to one student.

    Attributes:
        epsilon: of every release of this run together; None where nothing bounds it.
        sentence: what it means for people who do not know the word.
        label: question -> answer, the privacy label after NIST SP 800-226.
    """

    unit: str
    adjacency: str
    epsilon: Annotated[float, Field(ge=0)] | None
    delta: float
    trust_mode: str
    clipping_norm: float
    noise_multiplier: float
    sampling_rate: float
    planned_students: Count
    training_releases: Count
    evaluation_releases: Count
    sentence: str
    label: dict[str, str]


class MetricsSection(_Part):
    """From noised histograms over held-out students; None where noise left nothing to compute."""

    auc: float | None
    acc: float | None
    logloss: float | None
    calibration_error: float | None
    schools: Count


class ModelCard(_Part):
    """Everything a school should know before it loads the model."""

    format: Literal["fedtrace-model-card/1"] = "fedtrace-model-card/1"
    name: str
    consortium: str
    model: ModelSection
    plan: PlanSection
    run: RunSection
    schools: tuple[SchoolSection, ...]
    privacy: PrivacySection
    metrics: MetricsSection | None
    limits: tuple[str, ...] = (
        "The promise is about one student, not about a school: which skills it teaches may show.",
        "The model says how likely a right answer is; it was not made to grade or place students.",
        "Metrics carry noise and come from the schools that took part, not from yours.",
    )

    def to_json(self) -> bytes:
        """The bytes of ``card.json``: indented UTF-8, keys in the order of this class."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    def to_markdown(self, tried: Sequence[str] = ()) -> str:
        """The text of ``card.md``.

        Args:
            tried: what attacks on what was released found, a sentence each.
        """
        attacks = tried or ("Nothing yet: `fedtrace audit attack ATTACK --model FOLDER`.",)
        lines = [
            f"# {self.name}",
            "",
            _headline(self),
            "",
            f"**Promise.** {self.privacy.sentence}",
            "",
            "| privacy label (NIST SP 800-226) | |",
            "|---|---|",
            *(f"| {question} | {answer} |" for question, answer in self.privacy.label.items()),
            "",
            "**Attacks that were tried.**",
            *(f"- {sentence}" for sentence in attacks),
            "",
            f"**Training.** {_training(self.run)}",
            "",
            f"**Quality on held-out students.** {_quality(self.metrics)}",
            "",
            "| school | answered | missing | refused | rejected |",
            "|---|---|---|---|---|",
            *(
                f"| {s.name} | {s.answered} | {s.missing} | {_codes(s.refused)} "
                f"| {_codes(s.rejected)} |"
                for s in self.schools
            ),
            "",
            f"**File.** `model.safetensors`, {self.model.bytes} bytes, `{self.model.digest}`",
            "",
            f"**Plan.** {self.plan.name}, `{self.plan.digest}`",
            "",
            "**Limits.**",
            *(f"- {limit}" for limit in self.limits),
            "",
        ]
        return "\n".join(lines)


def _headline(card: ModelCard) -> str:
    model, purpose = card.model, card.plan.purpose.replace("_", " ")
    return (
        f"A {model.architecture} model ({model.parameters} parameters, {model.skills} skills), "
        f"trained by the schools of {card.consortium} for {purpose}."
    )


def _training(run: RunSection) -> str:
    return (
        f"{run.rounds_closed} of {run.rounds_planned} rounds; the model is the mean of the last "
        f"{run.checkpoints_averaged} checkpoints. Ended because: "
        f"{run.ended_because.replace('_', ' ')}."
    )


def _quality(metrics: MetricsSection | None) -> str:
    if metrics is None:
        return "Not measured: the evaluation did not reach its quorum."
    named = {
        "AUC": metrics.auc,
        "accuracy": metrics.acc,
        "log loss": metrics.logloss,
        "calibration error": metrics.calibration_error,
    }
    values = ", ".join(
        f"{name} {value:.3f}" if value is not None else f"{name} lost in the noise"
        for name, value in named.items()
    )
    return f"{values} (noised histograms of {metrics.schools} schools)."


def _codes(counts: dict[str, int]) -> str:
    return ", ".join(f"{code} ({count})" for code, count in sorted(counts.items())) or "0"
