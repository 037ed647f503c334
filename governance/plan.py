"""The plan: what one training job may do, agreed on and signed by the schools before it starts.

Everything a school would want to ask is a field: why, with whom, which data, which model, how
much noise, for how long, what happens afterwards. There is no field for "anything else". The
format, with an example, is docs/formats/plan.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fedtrace.governance.document import Digest, Document, Name, Rate, Section, UtcDatetime
from fedtrace.governance.source import load

PLAN_TYPE = "application/vnd.fedtrace.plan+json"
"""What a plan's envelope says it holds."""

RoundKind = Literal["train", "evaluate"]
"""What a round asks a school for."""

TrustMode = Literal["local", "distributed"]
"""Who adds the noise: each school all of it, or every school a share under secure sum."""

Purpose = Literal[
    "adaptive_practice", "mastery_reporting", "curriculum_improvement", "learning_research"
]
"""Why: choosing exercises, telling teachers what is mastered, revising material, research."""

LegalBasis = Literal["consent", "school_official"]
"""``consent``: one given for each student; ``school_official``: an agreement, with opt-out."""

FieldName = Literal["student", "skill", "item", "correct", "order", "elapsed"]
"""The canonical record of one answer; there is nothing else to read."""

Category = Literal[
    "student_identifiers", "assessment", "student_in_app_performance", "application_use"
]
"""Element categories of the Schedule of Data (NDPA v2, exhibit B) that can occur at all."""

Duration = Annotated[
    str, Field(pattern=r"^P[0-9]{1,3}Y$|^P([0-9]{1,3}Y)?([0-9]{1,3}M|[0-9]{1,4}D)$")
]
"""How long something is kept, ISO 8601: ``P0D`` not at all, ``P90D``, ``P1Y6M``, ``P10Y``."""

Factor = Annotated[float, Field(ge=0, lt=1)]


def _distinct_sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"named twice: {', '.join(doubled)}")
    return tuple(sorted(names))


Schools = Annotated[
    tuple[Name, ...], Field(min_length=1, max_length=1000), AfterValidator(_distinct_sorted)
]
"""School names, each once, in one order."""


class SchoolsSection(Section):
    """Who takes part.

    Attributes:
        members: every school that may take part.
        minimum_per_round: a round with fewer schools is not closed.
    """

    members: Schools
    minimum_per_round: Annotated[int, Field(ge=1, le=1000)]


class DataField(Section):
    """One field of a student's record that training reads; none of them leaves the school.

    Attributes:
        name: the canonical record's field.
        category: where it stands in the data privacy agreement.
        transform: what is done to it before it is stored.
    """

    name: FieldName
    category: Category
    transform: Literal["random_token", "catalogue_id", "zero_or_one", "rank", "bucket"]


class DataSection(Section):
    """Which data.

    Attributes:
        fields: all that is read.
        max_sequence: interactions of one student that one update looks at.
        min_students: a school with fewer students that may take part stays out.
        skills: rows of the skill catalogue.
        skill_catalogue_digest: the public list of skills, ``catalogue.json``.
    """

    fields: Annotated[tuple[DataField, ...], Field(min_length=1, max_length=16)]
    max_sequence: Annotated[int, Field(ge=2, le=100_000)]
    min_students: Annotated[int, Field(ge=1, le=1_000_000)]
    skills: Annotated[int, Field(ge=1, le=1_000_000)]
    skill_catalogue_digest: Digest


class ModelSection(Section):
    """Which model.

    Attributes:
        architecture: one of those that the installed code has.
        parameters: how many numbers travel.
        schema_fingerprint: over names, shapes and order of the parameters.
        initial_parameters_digest: the safetensors bytes that round 1 starts from.
    """

    architecture: Literal["dkt", "pfa", "shared-logistic", "shared-logistic-2", "residual-dkt"]
    hidden_size: Annotated[int, Field(ge=1, le=65_536)]
    embedding_size: Annotated[int, Field(ge=1, le=65_536)]
    parameters: Annotated[int, Field(ge=1, le=1_000_000_000)]
    schema_fingerprint: Digest
    initial_parameters_digest: Digest


class AppSection(Section):
    """Which code: the digest of the Flower bundle, which names installed code and carries none."""

    fab_digest: Digest


class RoundsSection(Section):
    """How often, and how long a round waits for a school."""

    count: Annotated[int, Field(ge=1, le=100_000)]
    deadline_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)]


class RoundPrivacy(Section):
    """The privacy parameters of one release.

    Attributes:
        clipping_norm: C, L2 bound on one student's contribution.
        noise_multiplier: z, standard deviation of the noise on the sum / C.
        sampling_rate: q, probability that a student takes part (Poisson).
    """

    clipping_norm: Annotated[float, Field(gt=0, le=1e6)]
    noise_multiplier: Annotated[float, Field(ge=0, le=1e9)]
    sampling_rate: Rate


class PrivacySection(RoundPrivacy):
    """The promise to one student.

    Attributes:
        unit: who is protected.
        adjacency: what neighbouring means.
        trust_mode: who adds the noise.
        delta: of both epsilons.
        planned_students: public number of students of the whole consortium; denominators use it.
        epsilon_job: all releases of this job about one student.
        epsilon_student_year: all releases of all jobs of a school year about one student.
    """

    unit: Literal["student"]
    adjacency: Literal["add-or-remove-one"]
    trust_mode: TrustMode
    delta: Annotated[float, Field(gt=0, lt=1)]
    planned_students: Annotated[int, Field(ge=1, le=1_000_000_000)]
    epsilon_job: Annotated[float, Field(gt=0, le=1000)]
    epsilon_student_year: Annotated[float, Field(gt=0, le=1000)]


StepFactor = Annotated[float, Field(gt=0, le=1000)]


class StepFactors(Section):
    """A stretch of the parameters whose steps are longer or shorter than the plan's step size.

    Attributes:
        parameters: how many consecutive numbers it is for.
        factors: on the step size, of one number after the other and again from the first; of a
            table, one a column.
    """

    parameters: Annotated[int, Field(ge=1, le=1_000_000_000)]
    factors: Annotated[tuple[StepFactor, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _whole_turns(self) -> Self:
        """A table cut in the middle of a row is not the one that was meant."""
        if self.parameters % len(self.factors):
            raise ValueError(
                f"{self.parameters} parameters are no multiple of {len(self.factors)} factors"
            )
        return self


class AggregationSection(Section):
    """How the consortium moves the model by a round's sum; every number is public.

    Attributes:
        step_factors: one a stretch, in the vector's order and together all of it; None where all
            parameters take the same step. Then it is not in the document either, so that plans
            from before there were any keep their digest.
        momentum: of sgd with momentum; the first moment of adam.
        second_momentum: the second moment of adam.
        stability: what adam adds to its denominator.
        average_last: the released model is the mean of that many last checkpoints.
    """

    optimiser: Literal["sgd", "momentum", "adam"]
    learning_rate: Annotated[float, Field(gt=0, le=1e6)]
    step_factors: Annotated[
        tuple[StepFactors, ...] | None,
        Field(min_length=1, max_length=1000, exclude_if=lambda factors: factors is None),
    ] = None
    momentum: Factor
    second_momentum: Factor
    stability: Annotated[float, Field(gt=0, le=1)]
    average_last: Annotated[int, Field(ge=1, le=100_000)]


class SecureSumSection(Section):
    """How the schools' contributions are added up so that nobody sees a single one.

    Modulus, range and noise shares follow from this and the other sections
    (``fedtrace.privacy.discrete``).

    Attributes:
        protocol: what exactly is done; another way would have another name.
        colluding: how many schools may tell the consortium all they know; the others' noise is
            enough without theirs. In a large consortium a school shares its seeds with 52 others,
            and half of those may be among the colluding.
    """

    protocol: Literal["fedtrace-secure-sum/1"]
    colluding: Annotated[int, Field(ge=0, le=26)]


class EvaluationSection(Section):
    """How the released model is judged: noised score histograms of held-out students."""

    noise_multiplier: Annotated[float, Field(ge=0, le=1e9)]
    bins: Annotated[int, Field(ge=2, le=10_000)]


class RetentionSection(Section):
    """How long each artefact is kept after the job."""

    updates: Duration
    checkpoints: Duration
    model: Duration
    log: Duration


class ReleaseSection(Section):
    """Who gets the model, and from how many closed rounds on."""

    to: Literal["members", "public"]
    minimum_rounds: Annotated[int, Field(ge=1, le=100_000)]


class OversightSection(Section):
    """Who may stop the job at any time."""

    may_stop: Annotated[
        tuple[Literal["school", "privacy_officer", "consortium"], ...],
        Field(min_length=1, max_length=3),
        AfterValidator(_distinct_sorted),
    ]


class TermsSection(Section):
    """What everybody who gets the model promises; a plan without these cannot be written."""

    no_reidentification: Literal[True]
    no_redisclosure: Literal[True]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedVector:
    """The public numbers from which grid and noise shares of a secure sum follow.

    Attributes:
        clipping_norm: C.
        noise_multiplier: z of the total.
        size: how many numbers are summed.
        planned_students: of the whole consortium.
        members: schools that may take part.
        quorum: a sum of fewer is never revealed.
        colluding: schools whose noise does not count.
    """

    clipping_norm: float
    noise_multiplier: float
    size: int
    planned_students: int
    members: int
    quorum: int
    colluding: int


class Plan(Document):
    """One training job.

    Attributes:
        name: what people call it; the released model carries it.
        purpose: from a closed list.
        commercial_use: always false.
        legal_basis: what allows a school to use the records.
        valid_from: no round before it.
        valid_until: no round from it on.
    """

    payload_type: ClassVar[str] = PLAN_TYPE
    limit_bytes: ClassVar[int] = 256 * 1024

    format: Literal["fedtrace-plan/1"] = "fedtrace-plan/1"
    name: Name
    purpose: Purpose
    commercial_use: Literal[False]
    legal_basis: LegalBasis
    valid_from: UtcDatetime
    valid_until: UtcDatetime
    schools: SchoolsSection
    data: DataSection
    model: ModelSection
    app: AppSection
    rounds: RoundsSection
    privacy: PrivacySection
    secure_sum: SecureSumSection | None = None
    aggregation: AggregationSection
    evaluation: EvaluationSection
    retention: RetentionSection
    release: ReleaseSection
    oversight: OversightSection
    terms: TermsSection

    @model_validator(mode="after")
    def _step_factors_are_for_all_parameters(self) -> Self:
        """Fewer or more would move other parameters than were meant."""
        factors = self.aggregation.step_factors
        covered = sum(stretch.parameters for stretch in factors or ())
        if factors is not None and covered != self.model.parameters:
            raise ValueError(
                f"aggregation.step_factors are for {covered} parameters, the model has "
                f"{self.model.parameters}"
            )
        return self

    @model_validator(mode="after")
    def _distributed_trust_is_a_secure_sum(self) -> Self:
        """Shared noise is no noise to whoever sees a single share."""
        distributed = self.privacy.trust_mode == "distributed"
        if distributed != (self.secure_sum is not None):
            raise ValueError(
                f"trust mode {self.privacy.trust_mode} "
                + ("needs a section secure_sum" if distributed else "has no secure_sum")
            )
        if self.secure_sum is not None:
            members, quorum = len(self.schools.members), self.schools.minimum_per_round
            least = (members + self.secure_sum.colluding) // 2 + 1
            if not least <= quorum <= members:
                raise ValueError(
                    f"schools.minimum_per_round is {quorum}; a secure sum of {members} schools, "
                    f"{self.secure_sum.colluding} of them colluding, needs {least} to {members}"
                )
        return self

    def summed(self, kind: RoundKind) -> SummedVector:
        """What is added up under secure sum in one round of this kind.

        Raises:
            ValueError: the plan has no secure sum.
        """
        if self.secure_sum is None:
            raise ValueError("the plan has no secure sum")
        privacy = self.round_privacy(kind)
        return SummedVector(
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            size=self.model.parameters if kind == "train" else 2 * self.evaluation.bins,
            planned_students=self.privacy.planned_students,
            members=len(self.schools.members),
            quorum=self.schools.minimum_per_round,
            colluding=self.secure_sum.colluding,
        )

    def round_privacy(self, kind: RoundKind) -> RoundPrivacy:
        """What one round of this kind releases; an order must say exactly this.

        An evaluation takes every held-out student (q = 1), each with a weight of L2 norm at most
        1 over both histograms (C = 1).
        """
        if kind == "evaluate":
            return RoundPrivacy(
                clipping_norm=1.0,
                noise_multiplier=self.evaluation.noise_multiplier,
                sampling_rate=1.0,
            )
        return RoundPrivacy(
            clipping_norm=self.privacy.clipping_norm,
            noise_multiplier=self.privacy.noise_multiplier,
            sampling_rate=self.privacy.sampling_rate,
        )


def load_toml(text: str) -> Plan:
    """A plan from the TOML that people write.

    Raises:
        PolicyError: every problem on a line of its own, with path, value and bound.
    """
    return load(text, Plan)
