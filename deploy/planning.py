"""From what is known in public about a consortium to a complete plan.

Nothing here looks at a student: the numbers that go in are public, and the noise is calibrated so
that all rounds and the evaluation together stay within the epsilon that was asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import tomli_w
from safetensors.numpy import save

from fedtrace.client.bundle import fab_digest
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.deploy.simulation.defaults import (
    DELTA,
    MOMENTUM,
    Consortium,
    TrainingDefaults,
    propose,
    training_defaults,
)
from fedtrace.governance.canonical import digest
from fedtrace.governance.plan import (
    AggregationSection,
    AppSection,
    Category,
    DataField,
    DataSection,
    EvaluationSection,
    ModelSection,
    OversightSection,
    Plan,
    PrivacySection,
    ReleaseSection,
    RetentionSection,
    RoundsSection,
    SchoolsSection,
    SecureSumSection,
    StepFactors,
    TermsSection,
    TrustMode,
)
from fedtrace.models.networks import Architecture, KnowledgeModel, ModelSpec, build
from fedtrace.models.parameters import fingerprint, to_vector
from fedtrace.privacy.accounting import GaussianEvent, calibrate_noise

EVALUATION_SHARE = 0.15
"""Part of epsilon that the evaluation alone may spend; composition makes it cost less."""
EVALUATION_BINS = 20
MAX_SEQUENCE = 200
SECOND_MOMENTUM = 0.99
PROPOSED_DEADLINE_SECONDS = 3600
"""A school may be away for a while; a round that everybody answered ends at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one wants to train, in public numbers.

    Attributes:
        name: of the plan and the released model.
        schools: the members.
        minimum_per_round: with fewer answers a round is not closed.
        catalogue: the public skills.
        planned_students: public number of training students of the whole consortium.
        architecture: of the model.
        epsilon: what the whole job may spend on one student.
        trust_mode: who adds the noise.
        rounds: how many; None for the architecture's default.
        deadline_seconds: how long a round waits.
        seed: of the initial parameters.
    """

    name: str
    schools: tuple[str, ...]
    minimum_per_round: int
    catalogue: Catalogue
    planned_students: int
    architecture: Architecture
    epsilon: float
    trust_mode: TrustMode
    rounds: int | None
    deadline_seconds: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """The sections of a plan that say how to train; the rest says with whom and on what."""

    spec: ModelSpec
    max_sequence: int
    rounds: int
    privacy: PrivacySection
    secure_sum: SecureSumSection | None
    aggregation: AggregationSection
    evaluation: EvaluationSection


def draft_plan(
    job: Job, *, valid_from: datetime, valid_until: datetime, like: Plan | None = None
) -> tuple[Plan, bytes]:
    """The plan, and the safetensors bytes of the parameters that round 1 starts from.

    Args:
        job: with whom, on what, and within which epsilon.
        valid_from: no round before it.
        valid_until: no round from it on.
        like: a plan whose model, rounds, privacy, aggregation and evaluation are taken over as
            they are; then the job's architecture, epsilon and rounds say nothing.

    Raises:
        ValueError: an epsilon that no noise can reach, or a number outside its range.
    """
    training = _training_like(like, job) if like else _default_training(job)
    model = build(training.spec, seed=job.seed)
    aggregation = training.aggregation.model_copy(
        update={"step_factors": _step_factors(model, like)}
    )
    initial = to_vector(model)
    initial_parameters = bytes(save({"parameters": initial}))
    plan = Plan(
        name=job.name,
        purpose="learning_research",
        commercial_use=False,
        legal_basis="school_official",
        valid_from=valid_from,
        valid_until=valid_until,
        schools=SchoolsSection(members=job.schools, minimum_per_round=job.minimum_per_round),
        data=_data(job.catalogue, training.max_sequence),
        model=ModelSection(
            architecture=training.spec.architecture,
            hidden_size=training.spec.hidden_size,
            embedding_size=training.spec.embedding_size,
            parameters=initial.size,
            schema_fingerprint=fingerprint(model),
            initial_parameters_digest=digest(initial_parameters),
        ),
        app=AppSection(fab_digest=fab_digest()),
        rounds=RoundsSection(count=training.rounds, deadline_seconds=job.deadline_seconds),
        privacy=training.privacy,
        secure_sum=training.secure_sum,
        aggregation=aggregation,
        evaluation=training.evaluation,
        retention=RetentionSection(updates="P0D", checkpoints="P90D", model="P3Y", log="P10Y"),
        release=ReleaseSection(to="members", minimum_rounds=1),
        oversight=OversightSection(may_stop=("school", "privacy_officer", "consortium")),
        terms=TermsSection(no_reidentification=True, no_redisclosure=True),
    )
    return plan, initial_parameters


def proposed_plan(
    name: str,
    members: tuple[str, ...],
    catalogue: Catalogue,
    *,
    students: int,
    epsilon: float,
    trust_mode: TrustMode,
    rounds: int | None,
    seed: int,
    valid_from: datetime,
    valid_until: datetime,
) -> tuple[Plan, bytes]:
    """What ``fedtrace plan new`` writes: the most accurate model for such a consortium.

    Args:
        name: of plan and model.
        members: the charter's schools.
        catalogue: the public skills.
        students: public number of training students of all schools.
        epsilon: what the whole job may spend on one student.
        trust_mode: who adds the noise.
        rounds: how many; None for the model's own number.
        seed: of the initial parameters.
        valid_from: no round before it.
        valid_until: no round from it on.

    Returns:
        The plan, and the safetensors bytes of the parameters that round 1 starts from.

    Raises:
        ValueError: an epsilon that no noise can reach, or a number outside its range.
    """
    consortium = Consortium(
        schools=len(members),
        students=students,
        skills=len(catalogue),
        epsilon=epsilon,
        trust_mode=trust_mode,
    )
    job = Job(
        name=name,
        schools=members,
        minimum_per_round=usual_quorum(len(members), trust_mode),
        catalogue=catalogue,
        planned_students=students,
        architecture=propose(consortium).architecture,
        epsilon=epsilon,
        trust_mode=trust_mode,
        rounds=rounds,
        deadline_seconds=PROPOSED_DEADLINE_SECONDS,
        seed=seed,
    )
    return draft_plan(job, valid_from=valid_from, valid_until=valid_until)


def toml_of(plan: Plan) -> str:
    """A plan as the TOML that people edit and `fedtrace.governance.plan.load_toml` reads."""
    values = plan.model_dump(mode="json", exclude_none=True)
    head = "# Every key is explained in docs/formats/plan.md.\n\n"
    return head + tomli_w.dumps(values)


def _training_like(like: Plan, job: Job) -> _Training:
    return _Training(
        spec=ModelSpec(
            architecture=like.model.architecture,
            skills=len(job.catalogue),
            hidden_size=like.model.hidden_size,
            embedding_size=like.model.embedding_size,
        ),
        max_sequence=like.data.max_sequence,
        rounds=like.rounds.count,
        privacy=like.privacy.model_copy(update={"planned_students": job.planned_students}),
        secure_sum=like.secure_sum,
        aggregation=like.aggregation,
        evaluation=like.evaluation,
    )


def _default_training(job: Job) -> _Training:
    defaults = training_defaults(
        job.architecture,
        Consortium(
            schools=len(job.schools),
            students=job.planned_students,
            skills=len(job.catalogue),
            epsilon=job.epsilon,
            trust_mode=job.trust_mode,
        ),
        rounds=job.rounds,
    )
    evaluation_noise = calibrate_noise(
        target_epsilon=EVALUATION_SHARE * job.epsilon, delta=DELTA, sampling_rate=1.0, rounds=1
    )
    return _Training(
        spec=ModelSpec(
            architecture=job.architecture,
            skills=len(job.catalogue),
            hidden_size=defaults.hidden_size,
            embedding_size=defaults.embedding_size,
        ),
        max_sequence=MAX_SEQUENCE,
        rounds=defaults.rounds,
        privacy=_privacy(job, defaults, evaluation_noise),
        secure_sum=(
            SecureSumSection(protocol="fedtrace-secure-sum/1", colluding=0)
            if job.trust_mode == "distributed"
            else None
        ),
        aggregation=AggregationSection(
            optimiser=defaults.optimiser,
            learning_rate=defaults.learning_rate,
            momentum=MOMENTUM,
            second_momentum=SECOND_MOMENTUM,
            stability=1e-8,
            average_last=defaults.average_last,
        ),
        evaluation=EvaluationSection(noise_multiplier=evaluation_noise, bins=EVALUATION_BINS),
    )


def _step_factors(model: KnowledgeModel, like: Plan | None) -> tuple[StepFactors, ...] | None:
    """The model's own; those of a plan that is taken over, for the sizes of this model."""
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    if like is not None and like.aggregation.step_factors is None:
        return None
    if like is None and not model.step_factors:
        return None
    if like is None or like.aggregation.step_factors is None:
        factors = [model.step_factors.get(name, (1.0,)) for name in sizes]
    else:
        factors = [stretch.factors for stretch in like.aggregation.step_factors]
    if len(factors) != len(sizes):
        raise ValueError(
            f"the plan has {len(factors)} stretches of step factors; for another catalogue it "
            f"needs one for each of {', '.join(sizes)}"
        )
    return tuple(
        StepFactors(parameters=size, factors=each)
        for size, each in zip(sizes.values(), factors, strict=True)
    )


def usual_quorum(schools: int, trust_mode: TrustMode) -> int:
    """How many schools a round needs where nobody says otherwise.

    Under secure sum each school's share of the noise is sized for the quorum, so a small one makes
    the sum of all noisier than it has to be; a large one loses rounds when schools are away.
    """
    if trust_mode == "distributed":
        return max(schools // 2 + 1, math.ceil(0.9 * schools))
    return max(1, schools // 2)


def _data(catalogue: Catalogue, max_sequence: int) -> DataSection:
    performance: Category = "student_in_app_performance"
    return DataSection(
        fields=(
            DataField(name="student", category="student_identifiers", transform="random_token"),
            DataField(name="skill", category=performance, transform="catalogue_id"),
            DataField(name="correct", category=performance, transform="zero_or_one"),
            DataField(name="order", category="application_use", transform="rank"),
        ),
        max_sequence=max_sequence,
        min_students=1,
        skills=len(catalogue),
        skill_catalogue_digest=catalogue.digest(),
    )


def _privacy(job: Job, defaults: TrainingDefaults, evaluation_noise: float) -> PrivacySection:
    evaluation = GaussianEvent(noise_multiplier=evaluation_noise, sampling_rate=1.0, count=1)
    return PrivacySection(
        unit="student",
        adjacency="add-or-remove-one",
        trust_mode=job.trust_mode,
        delta=DELTA,
        clipping_norm=defaults.clipping_norm,
        noise_multiplier=calibrate_noise(
            target_epsilon=job.epsilon,
            delta=DELTA,
            sampling_rate=defaults.sampling_rate,
            rounds=defaults.rounds,
            extra=[evaluation],
        ),
        sampling_rate=defaults.sampling_rate,
        planned_students=job.planned_students,
        epsilon_job=job.epsilon,
        epsilon_student_year=job.epsilon,
    )
