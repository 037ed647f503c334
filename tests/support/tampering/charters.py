"""The next version of a charter: agreed to by too few, told otherwise, or not kept to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.logs import Story, charter_of, key_of, public
from support.tampering.tools import OTHER, Tampering, retell, swapped_entry

from fedtrace.governance.log.entries import (
    CharterAccepted,
    CharterChanged,
    PlanActivated,
)

SCHOOLS = ("school-1", "school-2", "school-3")


def changed(story: Story, signers: tuple[str, ...] = SCHOOLS, **changes: Any) -> None:
    story.change_charter(signers=signers, **(changes or {"threshold": 3}))


def a_next_charter_that_too_few_agreed_to(demo: Path) -> None:
    retell(demo, lambda story: changed(story, ("school-1",), witness_quorum=1))


def a_next_charter_that_too_few_of_itself_agreed_to(demo: Path) -> None:
    retell(demo, lambda story: changed(story, ("school-1", "school-2")))


def a_next_charter_signed_by_strangers(demo: Path) -> None:
    retell(demo, lambda story: changed(story, ("school-8", "school-9"), witness_quorum=1))


def a_next_charter_with_another_key_of_a_log(demo: Path) -> None:
    def steal(story: Story) -> None:
        first, *others = story.charter.members
        stolen = first.model_copy(update={"log_public_key": public(key_of("thief"))})
        changed(story, members=(stolen, *others))

    retell(demo, steal)


def a_next_charter_with_another_aggregator(demo: Path) -> None:
    def steal(story: Story) -> None:
        other = story.charter.aggregator.model_copy(update={"public_key": public(key_of("thief"))})
        changed(story, aggregator=other)

    retell(demo, steal)


def a_next_charter_that_gives_a_members_key_to_another(demo: Path) -> None:
    def give(story: Story) -> None:
        *others, last = story.charter.members
        moved = last.model_copy(
            update={"name": "school-9", "log_public_key": public(key_of("school-9/log"))}
        )
        changed(story, members=(*others, moved))

    retell(demo, give)


def a_next_charter_that_nobody_has_to_agree_to(demo: Path) -> None:
    retell(demo, lambda story: changed(story, threshold=0))


def a_next_charters_signatures_under_other_names(demo: Path) -> None:
    retell(demo, changed)
    for path in demo.rglob("charters/2.dsse.json"):
        envelope = json.loads(path.read_bytes())
        for number, each in enumerate(envelope["signatures"]):
            each["keyid"] = f"{number:064x}"
        path.write_text(json.dumps(envelope))


def a_version_of_the_charter_left_out(demo: Path) -> None:
    def skip(story: Story) -> None:
        changed(story)
        assert story.next_charter is not None
        story.next_charter = story.next_charter.model_copy(update={"version": 3})

    retell(demo, skip)


def the_founding_charter_exchanged(demo: Path) -> None:
    retell(demo, changed)
    other = charter_of(SCHOOLS, threshold=1).to_bytes()
    for path in demo.rglob("charters/1.json"):
        path.write_bytes(other)


def the_next_charters_signatures_dropped(demo: Path) -> None:
    retell(demo, changed)
    for path in demo.rglob("charters/2.dsse.json"):
        path.unlink()


def a_change_of_the_charter_logged_after_another(demo: Path) -> None:
    def skip(story: Story) -> None:
        changed(story)
        swapped_entry(story, CharterChanged, previous_digest=OTHER)

    retell(demo, skip)


def a_change_of_the_charter_logged_twice(demo: Path) -> None:
    def twice(story: Story) -> None:
        changed(story)
        at = next(i for i, e in enumerate(story.consortium) if isinstance(e, CharterChanged))
        story.consortium.insert(at, story.consortium[at])

    retell(demo, twice)


def a_change_with_members_who_did_not_agree(demo: Path) -> None:
    def lie(story: Story) -> None:
        changed(story, SCHOOLS[:2], witness_quorum=1)
        swapped_entry(story, CharterChanged, signers=SCHOOLS)

    retell(demo, lie)


def a_change_with_too_few_signers_in_the_log(demo: Path) -> None:
    def lie(story: Story) -> None:
        changed(story)
        swapped_entry(story, CharterChanged, signers=SCHOOLS[:1])

    retell(demo, lie)


def a_change_with_another_number_in_the_log(demo: Path) -> None:
    def lie(story: Story) -> None:
        changed(story)
        swapped_entry(story, CharterChanged, version=4)

    retell(demo, lie)


def a_school_that_accepted_a_charter_from_nowhere(demo: Path) -> None:
    def lie(story: Story) -> None:
        story.schools["school-2"].append(
            CharterAccepted(charter_digest=story.charter.digest(), previous_digest=OTHER)
        )

    retell(demo, lie)


def a_next_charter_that_the_log_does_not_tell_of(demo: Path) -> None:
    def hide(story: Story) -> None:
        changed(story)
        for entries in (story.consortium, *story.schools.values()):
            entries[:] = [e for e in entries if not isinstance(e, CharterChanged | CharterAccepted)]

    retell(demo, hide)


def a_next_charter_that_is_not_here(demo: Path) -> None:
    def hide(story: Story) -> None:
        changed(story)
        story.next_charter = None

    retell(demo, hide)


def a_round_under_a_charter_whose_members_never_agreed_to_the_plan(demo: Path) -> None:
    def lie(story: Story) -> None:
        story.plan_signers = SCHOOLS[:2]
        swapped_entry(story, PlanActivated, signers=SCHOOLS[:2])
        changed(story)

    retell(demo, lie)


def an_update_counted_of_a_school_that_was_left_out(demo: Path) -> None:
    retell(demo, lambda story: changed(story, members=story.charter.members[:2]))


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=a_next_charter_that_too_few_agreed_to, fails=("input",)),
    Tampering(act=a_next_charter_that_too_few_of_itself_agreed_to, fails=("input",)),
    Tampering(act=a_next_charter_signed_by_strangers, fails=("input",)),
    Tampering(act=a_next_charter_with_another_key_of_a_log, fails=("input",)),
    Tampering(act=a_next_charter_with_another_aggregator, fails=("input",)),
    Tampering(act=a_next_charter_that_gives_a_members_key_to_another, fails=("input",)),
    Tampering(act=a_next_charter_that_nobody_has_to_agree_to, fails=("input",)),
    Tampering(act=a_next_charters_signatures_under_other_names, fails=("input",)),
    Tampering(act=a_version_of_the_charter_left_out, fails=("input",)),
    Tampering(act=the_founding_charter_exchanged, fails=("input",)),
    Tampering(act=the_next_charters_signatures_dropped, fails=("input",)),
    Tampering(act=a_change_of_the_charter_logged_after_another, fails=("charter",)),
    Tampering(act=a_change_of_the_charter_logged_twice, fails=("charter",)),
    Tampering(act=a_change_with_members_who_did_not_agree, fails=("charter",)),
    Tampering(act=a_change_with_too_few_signers_in_the_log, fails=("charter",)),
    Tampering(act=a_change_with_another_number_in_the_log, fails=("charter",)),
    Tampering(act=a_school_that_accepted_a_charter_from_nowhere, fails=("charter",)),
    Tampering(act=a_next_charter_that_the_log_does_not_tell_of, warns=("charter",)),
    Tampering(act=a_next_charter_that_is_not_here, warns=("charter",)),
    Tampering(
        act=a_round_under_a_charter_whose_members_never_agreed_to_the_plan,
        fails=("plans.signed",),
    ),
    Tampering(act=an_update_counted_of_a_school_that_was_left_out, fails=("rounds.inputs",)),
)
