"""From a closed job to its outcome: released files, metrics, epsilon. Safe to do again.

Everything is made from stored values, so a restart after the last transaction publishes the same
bytes and returns the same outcome.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.label import privacy_label
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.privacy.accounting import epsilon_sentence
from fedtrace.privacy.histograms import HistogramMetrics, metrics_from_histograms
from fedtrace.server.aggregation import Vector64
from fedtrace.server.asking import POOLED
from fedtrace.server.card import (
    MetricsSection,
    ModelCard,
    ModelSection,
    PlanSection,
    PrivacySection,
    RunSection,
    SchoolSection,
)
from fedtrace.server.codec import checkpoint_spec, decode, encode, histograms_spec
from fedtrace.server.consortium import Consortium
from fedtrace.server.head import Head
from fedtrace.server.journal import Journal
from fedtrace.server.outcome import EvaluationOutcome, JobOutcome, Receipt, RoundOutcome, verdicts
from fedtrace.server.registry import CARD_FILE, MODEL_FILE


def conclude(consortium: Consortium, journal: Journal) -> JobOutcome:
    """Publish the model of a closed job and say what happened.

    Raises:
        Corrupt: the job is not closed, or the model is not the one that was signed.
    """
    head, plan = journal.head, journal.signed.plan
    if head.state != "closed" or head.ended_at is None or head.reason is None:
        raise Corrupt(f"run {head.run_id} is not closed")
    finished = [each.outcome for each in consortium.store.finished(head.run_id)]
    rounds = tuple(outcome for outcome in finished if outcome.kind == "train")
    histograms = _histograms(consortium, head, plan.evaluation.bins)
    evaluations = [o for o in finished if o.kind == "evaluate" and o.closed]
    evaluation = _evaluation(evaluations[0], histograms) if evaluations and histograms else None
    spent = consortium.accountant(journal.events, plan.privacy.delta)
    folder = None
    if head.model_digest is not None:
        spec = checkpoint_spec(plan.model.parameters)
        model = encode(journal.released(journal.checkpoint), spec)
        if digest(model) != head.model_digest:
            raise Corrupt(f"the model of run {head.run_id} is not the one that was signed")
        card = _card(consortium, journal, rounds, evaluation, spent, len(model))
        folder = consortium.registry.publish(model, card)
    return JobOutcome(
        run_id=head.run_id,
        plan_digest=head.plan_digest,
        reason=head.reason,
        started_at=head.started_at,
        seconds=(head.ended_at - head.started_at).total_seconds(),
        rounds=rounds,
        evaluation=evaluation,
        epsilon=spent,
        delta=plan.privacy.delta,
        resumed=head.resumed,
        model_digest=head.model_digest,
        model_path=folder / MODEL_FILE if folder else None,
        card_path=folder / CARD_FILE if folder else None,
        log_entries=consortium.log.size,
    )


def _histograms(consortium: Consortium, head: Head, bins: int) -> dict[str, Vector64]:
    stored, spec = consortium.store.histograms(head.run_id), histograms_spec(bins)
    try:
        return {name: decode(data, spec).astype(np.float64) for name, data in stored.items()}
    except ValueError as error:
        raise Corrupt(f"the stored histograms of run {head.run_id} cannot be read") from error


def _evaluation(outcome: RoundOutcome, histograms: Mapping[str, Vector64]) -> EvaluationOutcome:
    """Metrics of all schools together and of each; summed by name, so the same in any order."""
    pooled: Vector64 = np.sum([histograms[school] for school in sorted(histograms)], axis=0)
    return EvaluationOutcome(
        round=outcome,
        pooled=metrics_from_histograms(pooled),
        per_school={
            name: metrics_from_histograms(each)
            for name, each in histograms.items()
            if name != POOLED
        },
    )


def _card(
    consortium: Consortium,
    journal: Journal,
    rounds: Sequence[RoundOutcome],
    evaluation: EvaluationOutcome | None,
    epsilon: float,
    model_bytes: int,
) -> ModelCard:
    signed, plan = journal.signed, journal.signed.plan
    return ModelCard(
        name=f"{plan.name}-{signed.digest.removeprefix('sha256:')[:8]}",
        consortium=consortium.charter.consortium,
        model=ModelSection(
            digest=journal.head.model_digest or "",
            bytes=model_bytes,
            architecture=plan.model.architecture,
            skills=plan.data.skills,
            hidden_size=plan.model.hidden_size,
            embedding_size=plan.model.embedding_size,
            parameters=plan.model.parameters,
            schema_fingerprint=plan.model.schema_fingerprint,
            skill_catalogue_digest=plan.data.skill_catalogue_digest,
        ),
        plan=PlanSection(
            name=plan.name,
            digest=signed.digest,
            purpose=plan.purpose,
            commercial_use=plan.commercial_use,
            released_to=plan.release.to,
        ),
        run=_run(journal, rounds),
        schools=_schools(plan.schools.members, rounds),
        privacy=_privacy(journal, epsilon),
        metrics=_metrics(evaluation),
    )


def _run(journal: Journal, rounds: Sequence[RoundOutcome]) -> RunSection:
    head, plan = journal.head, journal.signed.plan
    return RunSection(
        run_id=head.run_id,
        started_at=head.started_at,
        ended_at=head.ended_at or head.started_at,
        ended_because=head.reason or "",
        rounds_planned=plan.rounds.count,
        rounds_closed=sum(outcome.closed for outcome in rounds),
        checkpoints_averaged=min(plan.aggregation.average_last, head.round),
        optimiser=plan.aggregation.optimiser,
        learning_rate=plan.aggregation.learning_rate,
    )


def _schools(members: Sequence[str], rounds: Sequence[RoundOutcome]) -> tuple[SchoolSection, ...]:
    """What became of every school's answers, counted over the training rounds."""
    final: dict[str, list[Receipt]] = {school: [] for school in members}
    for outcome in rounds:
        for school, receipt in verdicts(outcome.receipts).items():
            final.setdefault(school, []).append(receipt)
    return tuple(
        SchoolSection(
            name=school,
            answered=sum(receipt.disposition == "accepted" for receipt in receipts),
            missing=sum(receipt.disposition == "missing" for receipt in receipts),
            refused=dict(Counter(r.code for r in receipts if r.disposition == "refused")),
            rejected=dict(Counter(r.code for r in receipts if r.disposition == "rejected")),
        )
        for school, receipts in final.items()
    )


def _privacy(journal: Journal, epsilon: float) -> PrivacySection:
    plan = journal.signed.plan
    privacy = plan.privacy
    return PrivacySection(
        unit=privacy.unit,
        adjacency=privacy.adjacency,
        epsilon=epsilon if math.isfinite(epsilon) else None,
        delta=privacy.delta,
        trust_mode=privacy.trust_mode,
        clipping_norm=privacy.clipping_norm,
        noise_multiplier=privacy.noise_multiplier,
        sampling_rate=privacy.sampling_rate,
        planned_students=privacy.planned_students,
        training_releases=_count(journal.events, "train"),
        evaluation_releases=_count(journal.events, "evaluate"),
        sentence=epsilon_sentence(epsilon, privacy.delta, trust_mode=privacy.trust_mode),
        label=privacy_label(plan, epsilon=epsilon),
    )


def _count(events: Sequence[PrivacyEvent], kind: str) -> int:
    return sum(event.count for event in events if event.kind == kind)


def _metrics(evaluation: EvaluationOutcome | None) -> MetricsSection | None:
    if evaluation is None:
        return None
    pooled: HistogramMetrics = evaluation.pooled
    return MetricsSection(
        auc=pooled.auc,
        acc=pooled.acc,
        logloss=pooled.logloss,
        calibration_error=pooled.calibration_error,
        schools=len(evaluation.round.answered),
    )
