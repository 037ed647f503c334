"""Logs that are each signed and whole, and do not agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from support.logs import NOW, PLAN, RUN, Story, tell_story

from fedtrace.governance.canonical import digest
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.crosscheck import crosscheck
from fedtrace.governance.log.entries import (
    Entry,
    Input,
    LoggedEntry,
    ModelReleased,
    PlanAccepted,
    PlanActivated,
    RoundClosed,
    RoundOpened,
    RoundReserved,
    SchoolMissing,
    UpdateReceived,
    UpdateRejected,
    UpdateSent,
    decode_entry,
    encode_entry,
)
from fedtrace.governance.log.spending import Release
from fedtrace.governance.log.verify import Line

OTHER = digest(b"another")


def count_releases(releases: Sequence[Release], delta: float) -> float:
    """An accountant that counts: epsilon is the number of releases."""
    assert delta == 1e-5
    return float(sum(each.count for each in releases))


def check(
    story: Story, accountant: Callable[[Sequence[Release], float], float] = count_releases
) -> list[Line]:
    def logged(entries: Sequence[Entry]) -> list[LoggedEntry]:
        return [
            decode_entry(
                encode_entry(entry, index=index, origin="x", now=NOW), index=index, origin="x"
            )
            for index, entry in enumerate(entries)
        ]

    schools = {name: logged(entries) for name, entries in story.schools.items()}
    consortium = logged(story.consortium) if story.consortium else None
    return list(
        crosscheck(
            consortium,
            schools,
            charters=CharterHistory(versions=(story.charter,)),
            epsilon=accountant,
        )
    )


def failed(story: Story) -> list[str]:
    return [line.check for line in check(story) if line.status == "FAIL"]


def where(entries: list[Entry], kind: type[Entry], number: int = 1) -> int:
    """The index of an entry of this kind about this round."""
    return next(
        index
        for index, entry in enumerate(entries)
        if isinstance(entry, kind) and getattr(entry, "round", number) == number
    )


def change(entries: list[Entry], kind: type[Entry], number: int = 1, **values: object) -> None:
    index = where(entries, kind, number)
    entries[index] = entries[index].model_copy(update=values)


def test_logs_that_agree_pass_every_check() -> None:
    lines = check(tell_story())
    assert {line.status for line in lines} == {"PASS"}
    assert [line.check for line in lines] == [
        "plans.accepted",
        "updates.reserved",
        "rounds.plan",
        "rounds.checkpoint",
        "rounds.inputs",
        "rounds.privacy",
        "updates.sent",
        "updates.received",
        "epsilon.recomputed",
    ]
    assert lines[-2].sentence == (
        "All 9 updates that the schools sent were received unchanged and summed."
    )
    assert "the logs of the consortium, school-1, school-2 and school-3" in lines[-1].sentence


def no_plan(story: Story) -> None:
    del story.consortium[where(story.consortium, PlanActivated)]


def too_few_signers(story: Story) -> None:
    change(story.consortium, PlanActivated, signers=("school-1",))


def strangers_signed(story: Story) -> None:
    change(story.consortium, PlanActivated, signers=("school-1", "school-9"))


def plan_activated_late(story: Story) -> None:
    story.consortium.append(story.consortium.pop(where(story.consortium, PlanActivated)))


def never_opened(story: Story) -> None:
    del story.consortium[where(story.consortium, RoundOpened, 2)]


def other_start(story: Story) -> None:
    change(story.consortium, RoundOpened, 2, checkpoint_digest=OTHER)


def closed_twice(story: Story) -> None:
    closed = story.consortium[where(story.consortium, RoundClosed, 2)]
    story.consortium.append(closed.model_copy(update={"output_digest": OTHER}))


def other_model(story: Story) -> None:
    change(story.consortium, ModelReleased, digest=OTHER)


def input_left_out(story: Story) -> None:
    closed = story.consortium[where(story.consortium, RoundClosed)]
    assert isinstance(closed, RoundClosed)
    change(story.consortium, RoundClosed, inputs=closed.inputs[1:])


def input_doubled(story: Story) -> None:
    closed = story.consortium[where(story.consortium, RoundClosed)]
    assert isinstance(closed, RoundClosed)
    change(story.consortium, RoundClosed, inputs=(*closed.inputs, closed.inputs[0]))


def input_invented(story: Story) -> None:
    closed = story.consortium[where(story.consortium, RoundClosed)]
    assert isinstance(closed, RoundClosed)
    invented = (*closed.inputs, Input(school="school-1", digest=OTHER))
    change(story.consortium, RoundClosed, inputs=invented)


def more_noise_told(story: Story) -> None:
    change(story.consortium, RoundClosed, noise_multiplier="9")


def plan_not_accepted(story: Story) -> None:
    del story.schools["school-2"][where(story.schools["school-2"], PlanAccepted)]


def not_reserved(story: Story) -> None:
    del story.schools["school-2"][where(story.schools["school-2"], RoundReserved, 2)]


def never_sent(story: Story) -> None:
    del story.schools["school-3"][where(story.schools["school-3"], UpdateSent, 2)]


def changed_on_the_way(story: Story) -> None:
    change(story.schools["school-3"], UpdateSent, 2, digest=OTHER)


DISAGREEING = [
    (no_plan, "rounds.plan"),
    (too_few_signers, "rounds.plan"),
    (strangers_signed, "rounds.plan"),
    (plan_activated_late, "rounds.plan"),
    (never_opened, "rounds.checkpoint"),
    (other_start, "rounds.checkpoint"),
    (closed_twice, "rounds.checkpoint"),
    (other_model, "rounds.checkpoint"),
    (input_left_out, "rounds.inputs"),
    (input_doubled, "rounds.inputs"),
    (input_invented, "rounds.inputs"),
    (more_noise_told, "rounds.privacy"),
    (plan_not_accepted, "plans.accepted"),
    (not_reserved, "updates.reserved"),
    (never_sent, "updates.sent"),
    (changed_on_the_way, "updates.sent"),
]


@pytest.mark.parametrize(
    ("lie", "expected"), DISAGREEING, ids=lambda each: getattr(each, "__name__", each)
)
def test_each_disagreement_is_found_by_its_check(
    lie: Callable[[Story], None], expected: str
) -> None:
    story = tell_story()
    lie(story)
    assert expected in failed(story)
    assert set(failed(story)) <= {expected, "rounds.inputs"}


# --- updates without a counterpart ----------------------------------------------------------------


def orphans(story: Story) -> list[Line]:
    return [line for line in check(story) if line.check == "updates.received"]


def forget(story: Story, school: str, number: int, *instead: Entry) -> None:
    """The consortium did not sum a school's update, and says why, or says nothing."""
    entries = story.consortium
    index = next(
        i
        for i, entry in enumerate(entries)
        if isinstance(entry, UpdateReceived) and (entry.school, entry.round) == (school, number)
    )
    entries[index : index + 1] = instead
    closed = entries[where(entries, RoundClosed, number)]
    assert isinstance(closed, RoundClosed)
    kept = tuple(each for each in closed.inputs if each.school != school)
    change(entries, RoundClosed, number, inputs=kept)


def test_an_update_that_never_arrived_is_printed_with_what_became_of_it() -> None:
    story = tell_story()
    where_it_was = {"plan_digest": PLAN, "run_id": RUN, "kind": "train", "school": "school-2"}
    missing = SchoolMissing.model_validate({**where_it_was, "round": 1})
    rejected = UpdateRejected.model_validate({**where_it_was, "round": 2, "check": "A07"})
    forget(story, "school-2", 1, missing)
    forget(story, "school-2", 2, rejected)
    forget(story, "school-1", 2)
    first, second = orphans(story)
    assert (first.status, second.status) == ("WARN", "WARN")
    assert first.sentence == (
        "school-1 sent updates that no round summed: round 2, "
        f"{digest(b'school-1 2')}: the consortium does not know it."
    )
    assert "round 1, " in second.sentence
    assert "it did not come before the deadline" in second.sentence
    assert f"{digest(b'school-2 2')}: rejected by check A07" in second.sentence
    assert failed(story) == []


def test_an_update_of_a_round_that_was_not_closed_is_printed() -> None:
    story = tell_story()
    del story.consortium[where(story.consortium, RoundClosed, 2)]
    (first, *_) = orphans(story)
    assert "it was received, and the round was not closed" in first.sentence


def test_many_orphans_are_counted() -> None:
    story = tell_story(rounds=9)
    for number in range(1, 9):
        forget(story, "school-1", number)
    (line,) = orphans(story)
    assert line.sentence.count("sha256:") == 5
    assert line.sentence.endswith("; and 3 more.")


# --- epsilon --------------------------------------------------------------------------------------


def epsilons(story: Story) -> list[Line]:
    return [line for line in check(story) if line.check == "epsilon.recomputed"]


def test_epsilon_is_recomputed_from_each_log() -> None:
    (line,) = epsilons(tell_story(epsilon_job="3"))
    assert line.status == "PASS", "two rounds and the evaluation: the budget may be reached"
    assert "3 releases about one student come to epsilon 3.000 at delta 1e-05" in line.sentence
    (line,) = epsilons(tell_story(epsilon_job="2.5"))
    assert line.status == "FAIL"


def test_a_school_that_paid_twice_has_a_line_of_its_own() -> None:
    story = tell_story(epsilon_job="3")
    log = story.schools["school-2"]
    log.append(log[where(log, RoundReserved, 1)])
    honest, twice = epsilons(story)
    assert (honest.status, twice.status) == ("PASS", "FAIL")
    assert "By the log of school-2, 4 releases" in twice.sentence


@pytest.mark.parametrize("spent", [float("nan"), float("inf")])
def test_an_epsilon_that_is_no_number_fails(spent: float) -> None:
    lines = check(tell_story(), lambda releases, delta: spent)
    assert lines[-1].status == "FAIL"


def test_a_round_told_in_several_entries_is_one_release() -> None:
    """More than 40 inputs do not fit into one entry."""
    story = tell_story(schools=3, epsilon_job="3")
    index = where(story.consortium, RoundClosed)
    closed = story.consortium[index]
    assert isinstance(closed, RoundClosed)
    story.consortium[index : index + 1] = [
        closed.model_copy(update={"inputs": closed.inputs[:2]}),
        closed.model_copy(update={"inputs": closed.inputs[2:]}),
    ]
    assert {line.status for line in check(story)} == {"PASS"}


# --- some logs only -------------------------------------------------------------------------------


def test_the_consortium_alone_promises_nothing_about_schools() -> None:
    story = tell_story()
    story.schools = {}
    checks = [line.check for line in check(story)]
    assert checks == ["rounds.plan", "rounds.checkpoint", "rounds.inputs", "epsilon.recomputed"]


def test_a_school_alone_is_held_against_itself() -> None:
    story = tell_story()
    story.consortium = []
    assert [line.check for line in check(story)] == ["plans.accepted", "updates.reserved"]


def test_a_school_that_is_not_at_hand_is_not_accused() -> None:
    story = tell_story()
    del story.schools["school-3"]
    assert {line.status for line in check(story)} == {"PASS"}
