"""``fedtrace plan diff | status | revoke``, ``fedtrace consortium withdraw | abandon``, typed."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.homes import Homes, make_homes
from support.town import Run, one_sentence

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.hosting import job_folder
from fedtrace.deploy.network.jobs import Jobs
from fedtrace.governance.log.entries import PlanRevoked, RunOpened
from fedtrace.server.consortium import PLANS_FOLDER, open_consortium
from fedtrace.server.plans import PLAN_FILE, PlanShelf


@dataclass(frozen=True)
class Files:
    """A consortium with an active plan, and what its people have on their disks."""

    homes: Homes
    plan: Path
    root: Path

    @property
    def charter(self) -> Path:
        return self.homes.consortium / "charter.json"

    def key(self, school: str) -> Path:
        return self.homes.schools[school] / "keys" / "school.pem"

    def revoke(self, school: str, *more: object, reason: str = "incident") -> list[object]:
        options = ["--key", self.key(school), "--charter", self.charter, "--reason", reason]
        return ["plan", "revoke", self.plan, *options, *more]

    def status(self, *more: object) -> list[object]:
        return ["plan", "status", self.plan, "--charter", self.charter, *more]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    homes = make_homes(tmp_path / "homes", now=datetime.now(UTC), rounds=(1,))
    folder = homes.consortium / PLANS_FOLDER / homes.plans[0].removeprefix("sha256:")
    plan = tmp_path / "pilot.dsse.json"
    plan.write_bytes((folder / PLAN_FILE).read_bytes())
    return Files(homes=homes, plan=plan, root=tmp_path)


def test_a_plan_is_taken_back_by_as_many_as_sign_one(run: Run, files: Files) -> None:
    assert run(*files.status("--log", files.homes.consortium)).exit_code == 0
    first = run(*files.revoke("school-1"))
    assert first.exit_code == 0, first.output
    target = files.root / "pilot.revocation.dsse.json"
    assert f"by school-1\nwritten to {target}" in first.stdout
    early = run("consortium", "withdraw", target, "--home", files.homes.consortium)
    assert early.exit_code == 2
    assert "1 of the 2 members" in one_sentence(early)
    assert run(*files.revoke("school-2")).exit_code == 0
    done = run("consortium", "withdraw", target, "--home", files.homes.consortium)
    assert done.exit_code == 0, done.output
    assert "signed by school-1, school-2\nthe log says so from now on" in done.stdout
    said = run(*files.status("--log", files.homes.consortium))
    assert said.exit_code == 1
    assert "! revoked, because something happened that has to be looked into" in said.stdout
    with closing(open_consortium(files.homes.consortium)) as consortium:
        last = list(consortium.log.entries())[-1].entry
    assert isinstance(last, PlanRevoked)
    assert verify_path(files.homes.consortium).exit_code in (0, 1)


def test_a_job_that_only_the_log_tells_of_is_given_up(run: Run, files: Files) -> None:
    home, plan = files.homes.consortium, files.homes.plans[0]
    command = ["consortium", "abandon", plan, "--home", home]
    early = run(*command)
    assert early.exit_code == 2
    assert "there is none to give up" in one_sentence(early)
    assert run("consortium", "start", plan, "--home", home).exit_code == 0
    with closing(open_consortium(home)) as consortium:
        consortium.log.append(RunOpened(plan_digest=plan, run_id="run-1"), now=datetime.now(UTC))
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "is over after round 0: abandoned" in done.stdout
    assert "what its students were charged stays charged" in done.stdout
    assert [job.state for job in Jobs(job_folder(home)).all()] == ["over"]


def test_signatures_of_revocations_that_were_given_apart(run: Run, files: Files) -> None:
    apart = [files.root / f"{name}.json" for name in ("one", "two")]
    for school, path in zip(("school-1", "school-3"), apart, strict=True):
        assert run(*files.revoke(school, "--envelope", path)).exit_code == 0
    done = run("consortium", "withdraw", *apart, "--home", files.homes.consortium)
    assert done.exit_code == 0, done.output
    assert "signed by school-1, school-3" in done.stdout


def test_a_running_job_is_told_by_a_file(run: Run, files: Files) -> None:
    for school in ("school-1", "school-2"):
        assert run(*files.revoke(school)).exit_code == 0
    target = files.root / "pilot.revocation.dsse.json"
    with closing(open_consortium(files.homes.consortium)) as consortium:
        done = run("consortium", "withdraw", target, "--home", files.homes.consortium)
        assert done.exit_code == 0, done.output
        assert "the job that runs will log it before it asks for anything else" in done.stdout
        shelf = PlanShelf(files.homes.consortium / PLANS_FOLDER)
        kept = shelf.revocation(files.homes.plans[0], consortium.charters)
    assert kept is not None
    assert kept.revocation.reason == "incident"


def test_what_cannot_be_revoked(run: Run, files: Files) -> None:
    assert run(*files.revoke("school-1")).exit_code == 0
    target = files.root / "pilot.revocation.dsse.json"
    before = target.read_bytes()
    for code, sentence, arguments in (
        (2, "what others signed there is not sha256:", files.revoke("school-2", reason="mistake")),
        (2, "the envelope does not hold", ["consortium", "withdraw", files.plan]),
        (4, "no such file", ["consortium", "withdraw", files.root / "nothing.json"]),
        (2, "there is no folder", files.revoke("school-2", "--envelope", files.root / "a" / "b")),
    ):
        home = ["--home", files.homes.consortium] if arguments[0] == "consortium" else []
        result = run(*arguments, *home)
        assert result.exit_code == code, result.output
        assert sentence in one_sentence(result)
    stranger = files.revoke("school-1")
    stranger[stranger.index("--key") + 1] = files.homes.schools["school-1"] / "keys" / "log.pem"
    result = run(*stranger)
    assert (result.exit_code, "of nobody who signs for a member" in one_sentence(result)) == (
        2,
        True,
    )
    assert target.read_bytes() == before


def test_the_status_of_a_plan(run: Run, files: Files) -> None:
    unseen = run(*files.status())
    assert unseen.exit_code == 0
    assert "signed by 3 members, 2 are needed: school-1" in unseen.stdout
    assert "the consortium's log was not looked at: add --log" in unseen.stdout
    found = json.loads(run(*files.status("--log", files.homes.consortium, "--json")).stdout)
    assert (found["in_force"], found["in_log"], found["revoked"]) == (True, True, None)
    assert found["digest"] == files.homes.plans[0]
    nowhere = run(*files.status("--log", files.root))
    assert nowhere.exit_code == 2


def test_a_signed_plan_is_explained_like_the_one_that_was_written(run: Run, files: Files) -> None:
    page = run("plan", "explain", files.plan, "--previous", files.plan)
    assert page.exit_code == 0, page.output
    assert files.homes.plans[0] in page.stdout
    assert "\n  nothing\n" in page.stdout


def test_diff_says_what_weakens_the_promise_first(run: Run, files: Files) -> None:
    same = run("plan", "diff", files.plan, files.plan)
    assert (same.exit_code, same.stdout) == (0, "the two plans say the same\n")
    from support.gate import PLAN_TOML

    before, after = files.root / "before.toml", files.root / "after.toml"
    before.write_text(PLAN_TOML)
    text = PLAN_TOML.replace("epsilon_job = 2.0", "epsilon_job = 9.5")
    after.write_text(text.replace('purpose = "adaptive_practice"', 'purpose = "learning_research"'))
    result = run("plan", "diff", before, after)
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "ASKS MORE of students and schools"
    assert "privacy.epsilon_job: 2.0 -> 9.5" in lines[1]
    assert [line for line in lines if line.startswith("SAYS SOMETHING ELSE")]
    less = run("plan", "diff", after, before, "--json")
    weights = {each["clause"]: each["weight"] for each in json.loads(less.stdout)}
    assert weights["privacy.epsilon_job"] == "asks less"
    broken = run("plan", "diff", before, files.charter)
    assert broken.exit_code == 2
    assert str(files.charter) in one_sentence(broken)
