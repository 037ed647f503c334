"""Evidence about students' records and what left a school: small questions to the logs."""

from __future__ import annotations

from collections import Counter

from fedtrace.deploy.packs.facts import Entered, Facts
from fedtrace.deploy.packs.finding import (
    CONSORTIUM_LOG_MISSING,
    Finding,
    between,
    counted,
    happened,
    of_consortium,
    of_school,
)
from fedtrace.governance.log.entries import (
    AccessGiven,
    CohortRemoved,
    ConsentChanged,
    Entry,
    EvaluationClosed,
    HoldLifted,
    HoldPlaced,
    ImportCompleted,
    ModelReleased,
    OrderRefused,
    PlanActivated,
    RecordErased,
    RoundReserved,
    SchoolRefused,
    UpdateReceived,
    UpdateSent,
)


def consents(facts: Facts) -> Finding:
    """Consent as it was recorded; a plan that rests on consent cannot do without."""
    found = of_school(facts, ConsentChanged)
    if isinstance(found, Finding):
        return found
    if found:
        newest = found[-1].entry
        states = ""
        if isinstance(newest, ConsentChanged):
            states = (
                f" The newest one is about {newest.students} students: given {newest.given}, "
                f"refused {newest.refused}, withdrawn {newest.withdrawn}, expired "
                f"{newest.expired}, still asked for {newest.requested}."
            )
        sentence = (
            f"Consent was recorded {counted(len(found), 'time')} {between(found)}.{states} Counts "
            "are told in buckets; whose consent it is stays in the school's vault."
        )
        return Finding(status="shown", sentence=sentence, entries=tuple(found))
    if any(plan.plan.legal_basis == "consent" for plan in facts.plans):
        sentence = "A plan rests on consent, and the school's log tells of none."
        return Finding(status="not_shown", sentence=sentence)
    return Finding(
        status="needs_a_person",
        sentence="The school's log tells of no consent: that is right only where the school's use "
        "rests on something else.",
    )


def disclosures(facts: Facts) -> Finding:
    """Everything that left a school, to whom and in which round."""
    found = _of_every_school(facts, UpdateSent, UpdateReceived)
    if not found:
        return Finding(
            status="needs_a_person",
            sentence="Nothing has left a school through the program so far. What leaves it by "
            "another way is not in its log.",
        )
    rounds = {
        (entry.plan_digest, entry.run_id, entry.round)
        for entry in (each.entry for each in found)
        if isinstance(entry, UpdateSent | UpdateReceived)
    }
    charters = facts.verdict.charters
    receiver = f"the aggregator of {charters.current.consortium}" if charters else "the aggregator"
    sentence = (
        f"{counted(len(found), 'protected update')} went to {receiver} in "
        f"{counted(len(rounds), 'round')}, {between(found)}. Each is clipped and noised numbers "
        "over all students of the round, named by its digest; no student's record is among them."
    )
    return Finding(status="shown", sentence=sentence, entries=tuple(found))


def imports(facts: Facts) -> Finding:
    """Which tables were read, and how many columns were dropped before anything was stored."""
    found = of_school(facts, ImportCompleted)
    read = [] if isinstance(found, Finding) else [each.entry for each in found]
    kept = sum(each.columns_kept for each in read if isinstance(each, ImportCompleted))
    dropped = sum(each.columns_dropped for each in read if isinstance(each, ImportCompleted))
    return happened(
        found,
        nothing="No records were imported so far.",
        sentence=lambda all_: (
            f"{counted(len(all_), 'import')} {between(all_)}: {counted(kept, 'column')} kept, "
            f"{counted(dropped, 'column')} dropped before anything was stored."
        ),
    )


def rounds(facts: Facts) -> Finding:
    """Who took part is fixed in the log before training, so that a parent can be answered."""
    return happened(
        of_school(facts, RoundReserved),
        nothing="No round was run at a school so far.",
        sentence=lambda found: (
            f"Before each of {counted(len(found), 'round')} the school's log fixed who took part, "
            "as a salted root that names nobody. `fedtrace school cohort-proof` answers from it "
            "whether a student was in a round."
        ),
    )


def erasures(facts: Facts) -> Finding:
    """Records that were destroyed."""
    return happened(
        of_school(facts, RecordErased),
        nothing="The log tells of no erasure: that is right only if none was due and nobody asked.",
        sentence=lambda found: (
            f"{counted(len(found), 'student record')} destroyed {between(found)}: the key "
            "shredded, the rows deleted, and the files searched for the record in vain. The "
            "certificates of it lie in the school's home."
        ),
    )


def cohorts_removed(facts: Facts) -> Finding:
    """Rounds of which nobody can say any more who was in them."""
    return happened(
        of_school(facts, CohortRemoved),
        nothing="The pseudonyms of no round were destroyed so far: that is right only while the "
        "plans still keep their models.",
        sentence=lambda found: (
            f"Who was in {counted(len(found), 'round')} was destroyed {between(found)}, when the "
            "time of the models that came of them was over."
        ),
    )


def holds(facts: Facts) -> Finding:
    """Records that must be kept as they are."""
    found = of_school(facts, HoldPlaced, HoldLifted)
    placed = [] if isinstance(found, Finding) else found
    lifted = {each.entry.request for each in placed if isinstance(each.entry, HoldLifted)}
    open_ = [
        each
        for each in placed
        if isinstance(each.entry, HoldPlaced) and each.entry.request not in lifted
    ]
    return happened(
        found,
        nothing="No hold was ever placed: that is right only if no record had to be kept.",
        sentence=lambda all_: (
            f"{counted(sum(isinstance(e.entry, HoldPlaced) for e in all_), 'hold')} placed, "
            f"{len(open_)} still in force. Records under a hold are neither used nor erased."
        ),
    )


def access_given(facts: Facts) -> Finding:
    """What families were given."""
    found = of_school(facts, AccessGiven)
    given = [] if isinstance(found, Finding) else [each.entry for each in found]
    kinds = Counter(each.kind for each in given if isinstance(each, AccessGiven))
    return happened(
        found,
        nothing="The log tells of nothing that was given to a family: that is right only if "
        "nobody asked.",
        sentence=lambda all_: (
            f"Families were given all that the school holds about a student "
            f"{counted(kinds['everything'], 'time')}, and a proof about a round "
            f"{counted(kinds['cohort'], 'time')}, {between(all_)}; the log does not name the "
            "students."
        ),
    )


def refusals(facts: Facts) -> Finding:
    """What schools said no to."""
    found = _of_every_school(facts, OrderRefused, SchoolRefused)
    codes = Counter(
        str(entry.code)
        for entry in (each.entry for each in found)
        if isinstance(entry, OrderRefused | SchoolRefused)
    )
    listed = ", ".join(f"{code} {times}x" for code, times in sorted(codes.items()))
    return happened(
        found,
        nothing="No order was refused so far; a refusal would be an entry of its own.",
        by_itself=True,
        sentence=lambda all_: (
            f"{counted(len(all_), 'order')} refused by a school {between(all_)}: {listed}. "
            "docs/refusal-codes.md says what each code means."
        ),
    )


def epsilon(facts: Facts) -> Finding:
    """The privacy loss, computed anew from what the logs say was released."""
    lines = [line for line in facts.verdict.lines if line.check == "epsilon.recomputed"]
    if not facts.has_consortium:
        return Finding(status="elsewhere", sentence=CONSORTIUM_LOG_MISSING)
    if not lines:
        sentence = "No plan was activated so far, so nothing was released."
        return Finding(status="needs_a_person", sentence=sentence)
    return Finding(
        status="shown" if all(line.status == "PASS" for line in lines) else "not_shown",
        sentence=" ".join(line.sentence for line in lines),
        entries=tuple(facts.entries(PlanActivated)),
    )


def evaluations(facts: Facts) -> Finding:
    """How released models were judged."""
    return happened(
        of_consortium(facts, EvaluationClosed),
        nothing="No model was judged on held-out students so far.",
        sentence=lambda found: (
            f"{counted(len(found), 'model')} judged {between(found)} on noised histograms of "
            "held-out students, which count towards epsilon; the scores are in the model's card."
        ),
    )


def released_models(facts: Facts) -> Finding:
    """The models that came out."""
    return happened(
        of_consortium(facts, ModelReleased),
        nothing="No model was released so far.",
        sentence=lambda found: (
            f"{counted(len(found), 'model')} released {between(found)}, each named by its digest."
        ),
    )


def _of_every_school(
    facts: Facts, own: type[Entry], told: type[UpdateReceived | SchoolRefused]
) -> list[Entered]:
    """What each school's log says of itself, and the consortium's of schools that are not here."""
    found = facts.entries(own)
    if facts.is_of_one_school:
        return found
    return found + [
        each
        for each in facts.entries(told)
        if isinstance(each.entry, UpdateReceived | SchoolRefused)
        and each.entry.school not in facts.schools
    ]
