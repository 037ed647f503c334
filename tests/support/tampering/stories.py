"""Stories that are well signed and not true: only other logs contradict them."""

from __future__ import annotations

from pathlib import Path

from support.logs import (
    PLAN,
    Story,
)
from support.tampering.tools import OTHER, Tampering, retell, swapped_entry

from fedtrace.governance.log.entries import (
    EvaluationClosed,
    Input,
    ModelReleased,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundOpened,
    RoundReserved,
    UpdateReceived,
)


def a_plan_of_one_signature(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, PlanActivated, signers=("school-1",)))


def a_plan_signed_by_strangers(demo: Path) -> None:
    strangers = ("school-7", "school-8", "school-9")
    retell(demo, lambda story: swapped_entry(story, PlanActivated, signers=strangers))


def a_round_under_no_plan(demo: Path) -> None:
    def edit(story: Story) -> None:
        story.consortium = [e for e in story.consortium if not isinstance(e, PlanActivated)]

    retell(demo, edit)


def a_round_under_a_plan_that_was_taken_back(demo: Path) -> None:
    revoked = PlanRevoked(plan_digest=PLAN, signers=("school-1", "school-2"), reason="incident")
    retell(demo, lambda story: story.consortium.insert(3, revoked))


def a_plan_taken_back_by_one(demo: Path) -> None:
    revoked = PlanRevoked(plan_digest=PLAN, signers=("school-1",), reason="mistake")
    retell(demo, lambda story: story.consortium.append(revoked))


def a_round_from_another_checkpoint(demo: Path) -> None:
    def edit(story: Story) -> None:
        opened = [i for i, e in enumerate(story.consortium) if isinstance(e, RoundOpened)]
        entry = story.consortium[opened[1]]
        story.consortium[opened[1]] = entry.model_copy(update={"checkpoint_digest": OTHER})

    retell(demo, edit)


def a_round_closed_and_never_opened(demo: Path) -> None:
    def edit(story: Story) -> None:
        first = next(e for e in story.consortium if isinstance(e, RoundOpened))
        story.consortium.remove(first)

    retell(demo, edit)


def a_round_closed_twice(demo: Path) -> None:
    def edit(story: Story) -> None:
        at = next(i for i, e in enumerate(story.consortium) if isinstance(e, RoundClosed))
        again = story.consortium[at].model_copy(update={"inputs": (), "output_digest": OTHER})
        story.consortium.insert(at, again)

    retell(demo, edit)


def another_model_than_the_one_that_was_judged(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, ModelReleased, digest=OTHER))


def an_update_summed_twice(demo: Path) -> None:
    def edit(story: Story) -> None:
        entry = next(e for e in story.consortium if isinstance(e, RoundClosed))
        inputs = (*entry.inputs, entry.inputs[0])
        swapped_entry(story, RoundClosed, inputs=inputs)

    retell(demo, edit)


def an_update_received_and_not_summed(demo: Path) -> None:
    def edit(story: Story) -> None:
        entry = next(e for e in story.consortium if isinstance(e, RoundClosed))
        swapped_entry(story, RoundClosed, inputs=entry.inputs[:-1])

    retell(demo, edit)


def an_update_summed_that_nobody_sent(demo: Path) -> None:
    def edit(story: Story) -> None:
        entry = next(e for e in story.consortium if isinstance(e, RoundClosed))
        swapped_entry(story, RoundClosed, inputs=(*entry.inputs, Input(school="x", digest=OTHER)))

    retell(demo, edit)


def an_update_of_a_school_that_nobody_knows(demo: Path) -> None:
    """Received, summed, and of no member: a model can be turned by whoever is made up."""

    def edit(story: Story) -> None:
        received = next(e for e in story.consortium if isinstance(e, UpdateReceived))
        stranger = received.model_copy(update={"school": "school-9", "digest": OTHER})
        story.consortium.insert(story.consortium.index(received), stranger)
        closed = next(e for e in story.consortium if isinstance(e, RoundClosed))
        inputs = (*closed.inputs, Input(school="school-9", digest=OTHER))
        swapped_entry(story, RoundClosed, inputs=inputs)

    retell(demo, edit)


def less_noise_than_the_schools_reserved_for(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, EvaluationClosed, noise_multiplier="2.4"))


def another_sampling_than_the_schools_reserved_for(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, RoundClosed, sampling_rate="0.4"))


def an_update_replaced_on_its_way(demo: Path) -> None:
    """The consortium received, and summed, something that the school never sent."""

    def edit(story: Story) -> None:
        received = next(e for e in story.consortium if isinstance(e, UpdateReceived))
        closed = next(e for e in story.consortium if isinstance(e, RoundClosed))
        inputs = tuple(
            replace_digest(each) if each.school == received.school else each
            for each in closed.inputs
        )
        swapped_entry(story, UpdateReceived, digest=OTHER)
        swapped_entry(story, RoundClosed, inputs=inputs)

    retell(demo, edit)


def replace_digest(each: Input) -> Input:
    return each.model_copy(update={"digest": OTHER})


def an_update_that_vanished(demo: Path) -> None:
    """The consortium never tells that it got it."""

    def edit(story: Story) -> None:
        received = next(e for e in story.consortium if isinstance(e, UpdateReceived))
        closed = next(e for e in story.consortium if isinstance(e, RoundClosed))
        story.consortium.remove(received)
        left = tuple(each for each in closed.inputs if each.school != received.school)
        swapped_entry(story, RoundClosed, inputs=left)

    retell(demo, edit)


def an_update_that_was_never_paid_for(demo: Path) -> None:
    def edit(story: Story) -> None:
        entries = story.schools["school-1"]
        entries.remove(next(e for e in entries if isinstance(e, RoundReserved)))

    retell(demo, edit)


def an_answer_to_a_plan_that_was_never_accepted(demo: Path) -> None:
    def edit(story: Story) -> None:
        entries = story.schools["school-1"]
        entries.remove(next(e for e in entries if isinstance(e, PlanAccepted)))

    retell(demo, edit)


def a_promise_smaller_than_what_was_spent(demo: Path) -> None:
    retell(demo, lambda _story: None, epsilon_job="0.5")


def everybody_adds_too_little_noise(demo: Path) -> None:
    retell(demo, lambda _story: None, noise="0.3")


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=a_plan_of_one_signature, fails=("rounds.plan",)),
    Tampering(act=a_plan_signed_by_strangers, fails=("rounds.plan", "plans.signed")),
    Tampering(act=a_round_under_no_plan, fails=("rounds.plan",)),
    Tampering(act=a_round_under_a_plan_that_was_taken_back, fails=("rounds.plan",)),
    Tampering(act=a_plan_taken_back_by_one, fails=("rounds.plan",)),
    Tampering(act=a_round_from_another_checkpoint, fails=("rounds.checkpoint",)),
    Tampering(act=a_round_closed_and_never_opened, fails=("rounds.checkpoint",)),
    Tampering(act=a_round_closed_twice, fails=("rounds.checkpoint",)),
    Tampering(act=another_model_than_the_one_that_was_judged, fails=("rounds.checkpoint",)),
    Tampering(act=an_update_summed_twice, fails=("rounds.inputs",)),
    Tampering(act=an_update_received_and_not_summed, fails=("rounds.inputs",)),
    Tampering(act=an_update_summed_that_nobody_sent, fails=("rounds.inputs",)),
    Tampering(act=an_update_of_a_school_that_nobody_knows, fails=("rounds.inputs",)),
    Tampering(
        act=less_noise_than_the_schools_reserved_for, fails=("rounds.privacy", "plans.terms")
    ),
    Tampering(act=another_sampling_than_the_schools_reserved_for, fails=("rounds.privacy",)),
    Tampering(
        act=an_update_replaced_on_its_way, fails=("updates.sent",), warns=("updates.received",)
    ),
    Tampering(act=an_update_that_vanished, warns=("updates.received",)),
    Tampering(act=an_update_that_was_never_paid_for, fails=("updates.reserved",)),
    Tampering(act=an_answer_to_a_plan_that_was_never_accepted, fails=("plans.accepted",)),
    Tampering(act=a_promise_smaller_than_what_was_spent, fails=("epsilon.recomputed",)),
    Tampering(act=everybody_adds_too_little_noise, fails=("epsilon.recomputed",)),
)
