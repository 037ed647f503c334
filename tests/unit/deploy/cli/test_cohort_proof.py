"""``fedtrace school cohort-proof`` and ``fedtrace audit cohort-proof``, from question to answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from support.gate import order_for
from support.town import Run, Town, one_sentence, plan_for

from fedtrace.client.home import open_school
from fedtrace.client.school import School
from fedtrace.client.vault import Fold
from fedtrace.governance.log.entries import AccessGiven, RoundReserved


def settle_round(school: School, number: int) -> tuple[str, ...]:
    """As a contribution settles a round, without the training."""
    now = datetime.now(UTC)
    plan = plan_for(now - timedelta(days=1), now + timedelta(days=1))
    order = order_for(plan, {"round": number, "previous_round_digest": None})
    cohort = school.freeze_cohort(plan, fold=Fold.TRAIN, now=now)
    school.vault.cohorts.keep(cohort.tokens, cohort.secret, root=cohort.root, order=order, now=now)
    entry = RoundReserved(
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=number,
        kind="train",
        noise_multiplier="1",
        sampling_rate="0.5",
        cohort_size=cohort.size_bucket,
        cohort_root=cohort.root,
    )
    school.log.append(entry, now=now)
    return cohort.tokens


def test_was_this_child_in_the_round(run: Run, town: Town) -> None:
    with open_school(town.home) as gate:
        tokens = settle_round(gate, 1)
        numbers = {f"pupil-{n}": gate.vault.find(f"pupil-{n}") for n in range(5)}
        for number, token in numbers.items():
            out = town.root / f"{number}.json"
            made = run(
                *("school", "cohort-proof", number, "--home", town.home),
                *("--round", 1, "--out", out),
            )
            assert made.exit_code == 0, made.output
            checked = run("audit", "cohort-proof", out, "--charter", town.charter)
            assert checked.exit_code == 0, checked.output
            assert ("was NOT among" in checked.stdout) is (token not in tokens)
            assert f"the student is {token}" in checked.stdout
        gate.catch_up(now=datetime.now(UTC))
        given = [each.entry for each in gate.log.entries() if isinstance(each.entry, AccessGiven)]
        assert len({entry.request for entry in given}) == 5


def test_questions_without_an_answer(run: Run, town: Town) -> None:
    with open_school(town.home) as school:
        settle_round(school, 1)
    out = town.root / "proof.json"
    ask = ("--home", town.home, "--out", out)
    for student, number, sentence in (
        ("nobody", 1, "no record of a student with this number is here"),
        ("pupil-0", 2, "this school has settled no round 2"),
    ):
        result = run("school", "cohort-proof", student, *ask, "--round", number)
        assert (result.exit_code, sentence in one_sentence(result)) == (2, True), result.output
    assert not out.exists()
    assert run("school", "cohort-proof", "pupil-0", *ask, "--round", 1).exit_code == 0
    again = run("school", "cohort-proof", "pupil-0", *ask, "--round", 1)
    assert (again.exit_code, "is there already" in one_sentence(again)) == (2, True)
    out.write_bytes(out.read_bytes().replace(b'"round":1', b'"round":2'))
    false = run("audit", "cohort-proof", out, "--charter", town.charter)
    assert (false.exit_code, "does not settle round 2" in one_sentence(false)) == (2, True)
