"""A plan is checked clause against clause, and read by people who are not engineers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from support.gate import NOW, charter, linear_epsilon, plan_with

from fedtrace.governance.explain import explain
from fedtrace.governance.label import privacy_label
from fedtrace.governance.lint import lint
from fedtrace.governance.witnessing import witness_sentence

AFFORDABLE = {"privacy.epsilon_job": 2.5}
"""21 releases of 0.1 fit."""


def findings(
    plan_changes: Mapping[str, Any], *, now: datetime = NOW, **options: Any
) -> list[tuple[str, str]]:
    plan = plan_with({**AFFORDABLE, **plan_changes})
    found = lint(plan, epsilon=linear_epsilon, now=now, **options)
    return [(finding.level, finding.clause) for finding in found]


def sentence(epsilon: float, delta: float, *, trust_mode: str) -> str:
    return f"Epsilon {epsilon:.2f} (unit: one student, delta {delta:g}, trust mode: {trust_mode})."


def test_a_sound_plan_has_no_findings() -> None:
    assert findings({}) == []
    assert findings({}, charter=charter()) == []


def test_a_quorum_of_witnesses_must_be_safe_and_reachable() -> None:
    weak = charter().model_copy(update={"witness_quorum": 1})
    assert findings({}, charter=weak) == [("error", "charter.witness_quorum")]
    all_three = charter().model_copy(update={"witness_quorum": 3})
    two = {"schools.members": ["school-1", "school-2"], "schools.minimum_per_round": 2}
    assert ("warning", "charter.witness_quorum") in findings(two, charter=all_three)
    assert witness_sentence(all_three).startswith("3 of 3 members must cosign")
    assert witness_sentence(all_three).endswith("more than 2 of them lie")


@pytest.mark.parametrize(
    ("plan_changes", "clause"),
    [
        ({"valid_until": "2026-08-31T00:00:00Z"}, "valid_until"),
        ({"schools.minimum_per_round": 4}, "schools.minimum_per_round"),
        ({"privacy.delta": 0.01}, "privacy.delta"),
        ({"privacy.epsilon_student_year": 2.4}, "privacy.epsilon_student_year"),
        ({"privacy.noise_multiplier": 0.0}, "privacy.noise_multiplier"),
        ({"evaluation.noise_multiplier": 0.0}, "evaluation.noise_multiplier"),
        ({"privacy.epsilon_job": 2.0}, "privacy.epsilon_job"),
        ({"aggregation.average_last": 21}, "aggregation.average_last"),
        ({"release.minimum_rounds": 21}, "release.minimum_rounds"),
        ({"oversight.may_stop": ["consortium"]}, "oversight.may_stop"),
        ({"retention.log": "P35M"}, "retention.log"),
        ({"release.to": "public", "schools.minimum_per_round": 1}, "release.to"),
        (
            {"data.fields": [{"name": "skill", "category": "assessment", "transform": "rank"}]},
            "data.fields",
        ),
    ],
)
def test_contradictions_are_errors(plan_changes: dict[str, Any], clause: str) -> None:
    assert ("error", clause) in findings(plan_changes)


@pytest.mark.parametrize(
    ("plan_changes", "clause"),
    [
        ({"valid_until": "2029-01-01T00:00:00Z"}, "valid_until"),
        ({"rounds.deadline_seconds": 2_592_000}, "rounds.deadline_seconds"),
        ({"schools.minimum_per_round": 1}, "schools.minimum_per_round"),
        ({"privacy.planned_students": 19}, "privacy.planned_students"),
        ({"privacy.epsilon_job": 8.0, "privacy.epsilon_student_year": 8.0}, "privacy.epsilon_job"),
        ({"rounds.count": 10}, "privacy.epsilon_job"),
    ],
)
def test_oddities_are_warnings(plan_changes: dict[str, Any], clause: str) -> None:
    found = findings(plan_changes)
    assert ("warning", clause) in found
    assert all(level == "warning" for level, _ in found)


def test_a_plan_expires_on_its_last_day() -> None:
    last_day = datetime(2027, 7, 31, tzinfo=UTC)
    assert findings({}, now=last_day) == [("error", "valid_until")]


def test_a_member_who_is_not_in_the_charter_is_an_error() -> None:
    members = {"schools.members": ["school-1", "school-2", "school-9"]}
    assert ("error", "schools.members") in findings(members, charter=charter())


def test_the_recomputed_epsilon_is_told() -> None:
    plan = plan_with({"privacy.epsilon_job": 2.0})
    (finding,) = lint(plan, epsilon=linear_epsilon, now=NOW)
    assert str(finding) == (
        "error: privacy.epsilon_job: 20 rounds and the evaluation spend epsilon 2.100, more than "
        "the 2 of the plan; raise the noise multipliers"
    )


def test_errors_come_first() -> None:
    found = findings({"schools.minimum_per_round": 1, "privacy.delta": 0.01})
    assert [level for level, _ in found] == ["error", "warning"]


def test_the_page_says_what_a_school_wants_to_know() -> None:
    plan = plan_with(AFFORDABLE)
    page = explain(plan, epsilon=linear_epsilon, sentence=sentence)
    for words in (
        plan.digest(),
        "To choose exercises that fit what a student can do.",
        "Commercial use is excluded.",
        "whether the answer was right",
        "60 numbers",
        "Epsilon 2.10 (unit: one student, delta 1e-05, trust mode: local).",
        "Epsilon 4.00 (unit: one student",
        "single updates not at all",
        "3 years",
        "each school for itself",
        "It is not legal advice.",
    ):
        assert words in " ".join(page.split()), words
    assert "anonym" not in page.lower()
    assert len(page.splitlines()) <= 60
    assert max(map(len, page.splitlines())) <= 88


def test_the_label_answers_every_question_from_the_plan() -> None:
    plan = plan_with({**AFFORDABLE, "privacy.noise_multiplier": 1.25, "rounds.count": 7})
    label = privacy_label(plan, epsilon=1.5)
    assert list(label) == [
        "Epsilon",
        "Unit of privacy",
        "Mechanism",
        "Sampling and composition",
        "Trust model",
        "Accuracy",
        "Bias",
        "Tuning",
        "Data collection",
        "Security",
        "Side channels",
    ]
    assert label["Epsilon"].startswith("1.50 at delta 1e-05 for this job; at most 4 ")
    assert "Gaussian noise of 1.25 times" in label["Mechanism"]
    assert "each of 7 rounds" in label["Sampling and composition"]
    assert label["Trust model"].startswith("local: ")
    assert privacy_label(plan, epsilon=float("inf"))["Epsilon"].startswith("unbounded")


def test_the_label_says_when_there_is_no_noise_and_who_is_trusted() -> None:
    plan = plan_with(
        {
            **AFFORDABLE,
            "privacy.trust_mode": "distributed",
            "schools.minimum_per_round": 3,
            "secure_sum": {"protocol": "fedtrace-secure-sum/1", "colluding": 1},
        }
    )
    label = privacy_label(plan, epsilon=1.0)
    quorum, members = plan.schools.minimum_per_round, len(plan.schools.members)
    assert f"at least {quorum} of {members} schools" in label["Trust model"]
    assert "no more than 1 of them" in label["Trust model"]
    assert label["Mechanism"].startswith("discrete Gaussian noise")
    unprotected = plan.model_copy(
        update={"privacy": plan.privacy.model_copy(update={"noise_multiplier": 0.0})}
    )
    assert privacy_label(unprotected, epsilon=float("inf"))["Mechanism"].startswith("none:")


def test_the_page_shows_what_changed() -> None:
    before = plan_with(AFFORDABLE)
    after = plan_with({**AFFORDABLE, "privacy.delta": 1e-6, "rounds.count": 10})
    page = explain(after, epsilon=linear_epsilon, sentence=sentence, previous=before)
    assert before.digest() in page
    assert "  Asks less: privacy.delta: 1e-05 -> 1e-06" in page
    assert "  Asks less: rounds.count: 20 -> 10" in page
    same = explain(after, epsilon=linear_epsilon, sentence=sentence, previous=after)
    assert "\n  nothing\n" in same


def test_a_large_consortium_still_fits_on_the_page() -> None:
    plan = plan_with({"schools.members": [f"school-{number}" for number in range(200)]})
    page = explain(plan, epsilon=linear_epsilon, sentence=sentence)
    assert "200 schools" in page
    assert "188 more" in page
    assert len(page.splitlines()) <= 60


def test_one_person_who_can_do_it_alone_is_named() -> None:
    assert ("warning", "charter.threshold") in findings({}, charter=charter(threshold=1))
    assert ("warning", "charter.threshold") not in findings({}, charter=charter(threshold=2))
