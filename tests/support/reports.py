"""A report that looks like a real one, for tests and for looking at the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fedtrace.deploy.report import (
    Condition,
    ConditionScores,
    LogSize,
    Released,
    Report,
    RoundRecord,
    Scores,
    VerificationLine,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

LEVELS: dict[Condition, float] = {
    "private": 0.709,
    "personalised": 0.733,
    "federated": 0.725,
    "federated_finetuned": 0.734,
    "local_only": 0.731,
    "centralised": 0.735,
}


def scores(auc: float | None, students: int | None = None) -> Scores:
    """Scores around one AUC."""
    level = 0.5 if auc is None else auc
    return Scores(auc=auc, acc=level, logloss=1.2 - level, students=students)


def sample_report(
    *,
    schools: int = 3,
    rounds: int = 3,
    conditions: tuple[Condition, ...] = tuple(LEVELS),
    first_school: str = "school-1",
    bounded: bool = True,
) -> Report:
    """A run of ``schools`` schools in which the last one misses round 2 and refuses round 3.

    Without rounds and conditions there is nothing to draw, which is quick.
    """
    names = (first_school, *(f"school-{number}" for number in range(2, schools + 1)))
    spent = tuple(0.9 * number**0.5 if bounded else None for number in range(1, rounds + 1))
    lines = (
        VerificationLine(
            status="PASS",
            check="signatures",
            sentence=f"Each of the {schools + 1} logs carries a valid signature by its owner.",
        ),
        VerificationLine(
            status="PASS", check="entries", sentence="Every entry was re-hashed; none is missing."
        ),
        VerificationLine(
            status="WARN",
            check="answers",
            sentence=f"{names[-1]} did not answer in round 2. Ask its IT whether the node ran.",
        ),
    )
    return Report(
        created=START + timedelta(minutes=2),
        engine="loopback",
        purpose="improve instruction",
        plan_digest="sha256:" + "5f" * 32,
        data="simulated students",
        schools=schools,
        students=213,
        interactions=18_442,
        skills=40,
        rounds=rounds,
        model="shared-logistic-2",
        parameters=54,
        epsilon=spent[-1] if spent else None,
        delta=1e-5,
        unit="student",
        adjacency="add-or-remove-one",
        trust_mode="local",
        noise_multiplier=1.3 if bounded else 0.0,
        clipping_norm=0.05,
        sampling_rate=1.0,
        epsilon_by_round=spent,
        epsilon_sentence="At epsilon 1.56, an attacker who may be wrong about 1 in 100 students "
        "can be right about at most 5 in 100 who took part.",
        metrics={
            condition: ConditionScores(
                pooled=scores(LEVELS[condition]),
                per_school={
                    name: scores(
                        None
                        if (index, condition) == (1, "federated")
                        else LEVELS[condition] - 0.02 + 0.013 * (index % 4),
                        students=60 // (index + 1) + 2,
                    )
                    for index, name in enumerate(names)
                },
            )
            for condition in conditions
        },
        evaluation_released=scores(0.702),
        timeline=tuple(
            RoundRecord(
                round=number,
                start=START + timedelta(seconds=6.5 * (number - 1)),
                end=START + timedelta(seconds=6.5 * number - 0.7),
                answered=names if number not in (2, 3) else names[:-1],
                missing=names[-1:] if number == 2 else (),
                refused={names[-1]: "R17"} if number == 3 else {},
            )
            for number in range(1, rounds + 1)
        ),
        released=tuple(
            Released(school=name, what=what, bytes=size, rounds=times)
            for name in names
            for what, size, times in (
                ("noised model update", 1_344 * rounds, rounds),
                ("noised score histogram", 1_120, 1),
            )
        ),
        seconds={"provision": 4.2, "train": 19.4, "verify": 0.35},
        log_size=LogSize(entries=61, bytes=28_410),
        verification="WARN",
        verification_lines=lines,
        split="70 % of each school's students train, 10 % validate, 20 % test.",
        seed=0,
        versions={"fedtrace": "0.1.0", "flwr": "1.41.0", "torch": "2.13.0"},
    )
