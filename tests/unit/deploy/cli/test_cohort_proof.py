"""``fedtrace school cohort-proof`` and ``fedtrace audit cohort-proof``, from question to answer."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.gate import order_for
from support.town import Run, Town, one_sentence, plan_for

from fedtrace.client.home import open_school
from fedtrace.client.school import School
from fedtrace.client.vault import Fold
from fedtrace.governance.log.entries import AccessGiven, CohortRemoved, RoundReserved


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


def test_everything_about_a_student_has_the_rounds_and_their_proofs(run: Run, town: Town) -> None:
    with open_school(town.home) as gate:
        tokens = settle_round(gate, 1)
        settle_round(gate, 2)
        named = {gate.vault.find(f"pupil-{n}"): f"pupil-{n}" for n in range(5)}
        destroyed = gate.vault.cohorts.kept()[1].root
        entry = CohortRemoved(request="0" * 32, cohort_root=destroyed)
        gate.vault.cohorts.remove({destroyed: entry})
    for token, number in named.items():
        out = town.root / f"{number}.zip"
        given = run("school", "access", number, "--home", town.home, "--out", out)
        assert given.exit_code == 0, given.output
        with zipfile.ZipFile(out) as package:
            rounds = json.loads(package.read("everything.json"))["rounds"]
            assert [(each["round"], each["could_be_drawn"]) for each in rounds] == [
                (1, token in tokens),
                (2, None),
            ]
            (proof,) = (name for name in package.namelist() if name.startswith("proofs/round"))
            path = Path(package.extract(proof, town.root / number))
            assert package.read("proofs/charter.json") == town.charter.read_bytes()
        checked = run("audit", "cohort-proof", path, "--charter", town.charter)
        assert (checked.exit_code, f"student is {token}" in checked.stdout) == (0, True)


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
