"""A corpus of tampered logs: what a thief, a careless copy or a dishonest owner leaves behind.

Each tampering starts from the same whole folder of three schools and a consortium. It names the
checks that must fail, and those that must warn, and no others may: a verifier that loses one of
its checks lets at least one of these pass. Some have the keys of the log that they change, or of
the whole consortium; a signature alone is no proof of honesty.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.logs import (
    NOW,
    PLAN,
    RUN,
    Story,
    charter_of,
    encode,
    key_of,
    note_over,
    tell_story,
    write_lines,
)

from fedtrace.governance.canonical import digest
from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.cosignature import Ed25519Cosigner, cosigned
from fedtrace.governance.log.entries import (
    Entry,
    EvaluationClosed,
    Input,
    ModelReleased,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundOpened,
    RoundReserved,
    SchoolInitialised,
    UpdateReceived,
    UpdateSent,
)
from fedtrace.governance.log.evidence import collect_evidence
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import parse_note
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED, ENTRIES

ORIGIN = "county/log"
OTHER = digest(b"something else")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """One thing that somebody did.

    Attributes:
        act: does it to a copy of the whole folder.
        fails: checks that fail, each once; ``crosscheck``, which only says that logs were not
            compared because of another, is left out.
        warns: checks that warn, each once.
    """

    act: Callable[[Path], None]
    fails: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What was done, for the test's name."""
        return getattr(self.act, "__name__", "").replace("_", " ").strip()


def log_of(demo: Path, school: str | None = None) -> Path:
    """The folder of a log."""
    return (demo / "schools" / school if school else demo / "consortium") / "log"


def lines_of(log: Path) -> list[bytes]:
    return (log / ENTRIES).read_bytes().splitlines()


def put_lines(log: Path, lines: Sequence[bytes]) -> None:
    """Change the entries and nothing else."""
    (log / ENTRIES).write_bytes(b"".join(line + b"\n" for line in lines))


def change_note(demo: Path, change: Callable[[bytes], bytes], name: str = CHECKPOINT) -> None:
    path = log_of(demo) / name
    path.write_bytes(change(path.read_bytes()))


def retell(demo: Path, edit: Callable[[Story], None], **story: Any) -> None:
    """Everybody who has a key lies in the same way: all logs are written and signed anew."""
    told = tell_story(**story)
    edit(told)
    shutil.rmtree(demo)
    told.write(demo)


def sign_anew(demo: Path, lines: Sequence[bytes]) -> None:
    """The consortium's owner puts other entries in place, signs them, and its witnesses too."""
    write_lines(log_of(demo), lines, ORIGIN)
    tell_story().cosign(log_of(demo))


def swapped_entry(story: Story, kind: type[Entry], **changes: object) -> None:
    """Change the first entry of a kind in the consortium's log."""
    at = next(i for i, each in enumerate(story.consortium) if isinstance(each, kind))
    story.consortium[at] = story.consortium[at].model_copy(update=changes)


# --- files changed by somebody without a key ------------------------------------------------------


def one_bit_of_the_consortiums_entry(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    lines[4] = lines[4].replace(b'"round":1', b'"round":2')
    put_lines(log_of(demo), lines)


def one_bit_of_a_schools_entry(demo: Path) -> None:
    lines = lines_of(log_of(demo, "school-2"))
    lines[3] = lines[3].replace(b"20-49", b"50-99")
    put_lines(log_of(demo, "school-2"), lines)


def an_entry_dropped(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), lines[:5] + lines[6:])


def the_last_entry_dropped(demo: Path) -> None:
    put_lines(log_of(demo), lines_of(log_of(demo))[:-1])


def a_schools_last_entry_dropped(demo: Path) -> None:
    put_lines(log_of(demo, "school-1"), lines_of(log_of(demo, "school-1"))[:-1])


def an_entry_doubled(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), [*lines[:6], lines[5], *lines[6:]])


def two_entries_in_the_other_order(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    lines[4], lines[5] = lines[5], lines[4]
    put_lines(log_of(demo), lines)


def all_entries_gone(demo: Path) -> None:
    put_lines(log_of(demo), [])


def an_entry_added_after_the_signature(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), [*lines, lines[-1]])


def a_write_cut_off(demo: Path) -> None:
    with (log_of(demo) / ENTRIES).open("ab") as file:
        file.write(b'{"data":')


def windows_line_ends(demo: Path) -> None:
    put_lines(log_of(demo), [line + b"\r" for line in lines_of(log_of(demo))])


def an_empty_line_between(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), [*lines[:5], b"", *lines[5:]])


# --- checkpoints ----------------------------------------------------------------------------------


def signature_changed(demo: Path) -> None:
    def change(note: bytes) -> bytes:
        head, _, line = note.rstrip(b"\n").rpartition(b" ")
        raw = bytearray(base64.b64decode(line))
        raw[-1] ^= 1
        return head + b" " + base64.b64encode(bytes(raw)) + b"\n"

    change_note(demo, change)


def size_changed_under_the_signature(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"\n20\n", b"\n19\n", 1))


def signed_by_another_key(demo: Path) -> None:
    stranger = key_of("a stranger")
    note = note_over(lines_of(log_of(demo)), ORIGIN, stranger)
    (log_of(demo) / CHECKPOINT).write_bytes(note)


def a_schools_checkpoint_in_its_place(demo: Path) -> None:
    shutil.copy(log_of(demo, "school-1") / CHECKPOINT, log_of(demo) / CHECKPOINT)


def an_origin_that_looks_the_same(demo: Path) -> None:
    """Cyrillic o: what a person reads is the same, what is compared is not."""
    change_note(demo, lambda note: note.replace(b"county/log", "c\u043eunty/log".encode()))


def an_origin_with_a_byte_order_mark(demo: Path) -> None:
    change_note(demo, lambda note: b"\xef\xbb\xbf" + note)


def an_origin_that_is_composed_otherwise(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"county", "county\u0301".encode()))


def windows_line_ends_in_the_checkpoint(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"\n", b"\r\n"))


def a_zero_byte_in_the_checkpoint(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"county", b"cou\0nty", 1))


def a_zero_before_the_size(demo: Path) -> None:
    change_note(demo, lambda note: note.replace(b"\n20\n", b"\n020\n", 1))


def a_root_in_another_base64(demo: Path) -> None:
    """The spare bits of the last character are set: the same 32 bytes, another text."""

    def change(note: bytes) -> bytes:
        lines = note.split(b"\n")
        alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = alphabet.index(lines[2][-2:-1])
        lines[2] = lines[2][:-2] + alphabet[last + 1 : last + 2] + b"="
        return b"\n".join(lines)

    change_note(demo, change)


def a_root_of_31_bytes(demo: Path) -> None:
    def change(note: bytes) -> bytes:
        lines = note.split(b"\n")
        lines[2] = base64.b64encode(base64.b64decode(lines[2])[:31])
        return b"\n".join(lines)

    change_note(demo, change)


def a_second_signature_that_is_not_valid(demo: Path) -> None:
    """Every signature that claims to be by the key must be valid, not only one."""

    def change(note: bytes) -> bytes:
        line = note.rstrip(b"\n").rpartition(b"\n")[2]
        name, _, encoded = line.rpartition(b" ")
        raw = bytearray(base64.b64decode(encoded))
        raw[10] ^= 1
        return note + name + b" " + base64.b64encode(bytes(raw)) + b"\n"

    change_note(demo, change)


def a_checkpoint_over_its_limit(demo: Path) -> None:
    change_note(demo, lambda note: note + b"\xe2\x80\x94 x AAAAAAAA\n" * 10_000)


def no_signature_at_all(demo: Path) -> None:
    change_note(demo, lambda note: note.partition(b"\n\n")[0] + b"\n\n")


def a_checkpoint_that_is_garbage(demo: Path) -> None:
    (log_of(demo, "school-1") / CHECKPOINT).write_bytes(b"county")


def the_checkpoint_gone(demo: Path) -> None:
    (log_of(demo) / CHECKPOINT).unlink()


def two_checkpoints_exchanged(demo: Path) -> None:
    first, second = (log_of(demo, name) / CHECKPOINT for name in ("school-1", "school-2"))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


# --- entries that their own log's key signed ------------------------------------------------------


def _odd_entry(demo: Path, change: Callable[[bytes], bytes], at: int = 4) -> None:
    lines = lines_of(log_of(demo))
    lines[at] = change(lines[at])
    sign_anew(demo, lines)


def an_entry_of_no_type(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"update.received", b"update.imagined"))


def an_entry_with_one_key_more(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"kind":"train"', b'"kind":"train","note":"x"'))


def an_entry_with_a_key_twice(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"round":1', b'"round":1,"round":2'))


def an_entry_with_spaces(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"round":1', b'"round": 1'))


def an_entry_with_an_escaped_letter(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"school-1", b"\\u0073chool-1"))


def a_school_that_looks_like_another(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"school-1", "sch\u043eol-1".encode()))


def an_entry_that_says_it_is_another(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"id":"4"', b'"id":"5"'))


def an_entry_of_another_log(demo: Path) -> None:
    foreign = encode(tell_story().consortium, "valley/log")[4]
    _odd_entry(demo, lambda _line: foreign)


def an_entry_over_its_limit(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"school-1", b"s" * 9_000))


def an_entry_with_a_sentence(demo: Path) -> None:
    """Free text is where a student's name would stand."""
    _odd_entry(demo, lambda line: line.replace(b'"round":1', b'"round":"Ada L. failed"'))


def an_entry_on_no_day(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"2026-09-01T", b"2026-09-31T"))


def an_entry_that_is_no_json(demo: Path) -> None:
    _odd_entry(demo, lambda _line: b"round 1 went well")


def a_schools_entry_in_the_consortiums_log(demo: Path) -> None:
    sent = UpdateSent(plan_digest=PLAN, run_id=RUN, round=1, kind="train", digest=OTHER)
    story = tell_story()
    sign_anew(demo, encode([*story.consortium, sent], ORIGIN))


def an_entry_dated_back(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"T08:00:04", b"T07:00:04"), at=4)


# --- histories ------------------------------------------------------------------------------------


def an_old_checkpoint_put_back(demo: Path) -> None:
    """The entries are all there, the signature is an earlier one: the rest counts as unsigned."""
    lines = lines_of(log_of(demo))
    (log_of(demo) / CHECKPOINT).write_bytes(note_over(lines[:12], ORIGIN))


def the_consortium_set_back(demo: Path) -> None:
    """Log and checkpoint of yesterday; the witnesses' cosignatures are of today."""
    write_lines(log_of(demo), encode(tell_story().consortium[:-9], ORIGIN), ORIGIN)


def the_consortium_set_back_with_its_cosignatures(demo: Path) -> None:
    write_lines(log_of(demo), encode(tell_story().consortium[:-9], ORIGIN), ORIGIN)
    (log_of(demo) / COSIGNED).unlink()


def history_written_anew(demo: Path) -> None:
    """The owner leaves a school's update out and signs again; nobody cosigns that."""
    story = tell_story()
    at = next(i for i, e in enumerate(story.consortium) if isinstance(e, RoundClosed))
    entry = story.consortium[at]
    story.consortium[at] = entry.model_copy(update={"rule": "sgd"})
    write_lines(log_of(demo), encode(story.consortium, ORIGIN), ORIGIN)


def a_school_set_back(demo: Path) -> None:
    """Its owner restores an old state, signed in its time: the log alone is whole."""
    origin = "county/schools/school-1"
    entries = tell_story().schools["school-1"][:-2]
    write_lines(log_of(demo, "school-1"), encode(entries, origin), origin)


def a_school_that_denies_everything(demo: Path) -> None:
    origin = "county/schools/school-2"
    entries = [
        each
        for each in tell_story().schools["school-2"]
        if isinstance(each, SchoolInitialised | PlanAccepted)
    ]
    write_lines(log_of(demo, "school-2"), encode(entries, origin), origin)


# --- witnesses ------------------------------------------------------------------------------------


def _cosigned_by(demo: Path, lines: Callable[[list[bytes]], list[bytes]]) -> None:
    def change(note: bytes) -> bytes:
        text, _, signatures = note.partition(b"\n\n")
        return text + b"\n\n" + b"".join(lines(signatures.splitlines(keepends=True)))

    change_note(demo, change, COSIGNED)


def a_cosignature_changed(demo: Path) -> None:
    _cosigned_by(
        demo, lambda lines: [lines[0], lines[1][:-20] + bytes([lines[1][-20] ^ 1]) + lines[1][-19:]]
    )


def one_witness_of_three(demo: Path) -> None:
    _cosigned_by(demo, lambda lines: lines[:2])


def one_witness_three_times(demo: Path) -> None:
    _cosigned_by(demo, lambda lines: [lines[0], lines[1], lines[1], lines[1]])


def a_cosignature_under_anothers_name(demo: Path) -> None:
    """One witness's signature with another's name: its key id does not fit the name."""
    _cosigned_by(
        demo,
        lambda lines: [
            *lines[:2],
            lines[1].replace(b"/school-1 ", b"/school-2 "),
            lines[1].replace(b"/school-1 ", b"/school-3 "),
        ],
    )


def cosignatures_of_an_older_checkpoint(demo: Path) -> None:
    """Stale lines under the newest text: each was given, for something else."""
    story = tell_story()
    old = note_over(encode(story.consortium[:10], ORIGIN), ORIGIN)
    stale = [
        Ed25519Cosigner(f"county/schools/{name}", key_of(f"county/schools/{name}")).cosign(
            parse_note(old)[0], now=NOW
        )
        for name in story.schools
    ]
    newest = (log_of(demo) / CHECKPOINT).read_bytes()
    (log_of(demo) / COSIGNED).write_bytes(cosigned(newest, stale))


def nobody_cosigned(demo: Path) -> None:
    (log_of(demo) / COSIGNED).unlink()


def a_log_of_another_root_cosigned(demo: Path) -> None:
    other = sign_checkpoint(
        LogCheckpoint(origin=ORIGIN, size=20, root=b"\x11" * 32), key_of(ORIGIN)
    )
    (log_of(demo) / COSIGNED).write_bytes(other)
    story = tell_story()
    lines = [
        Ed25519Cosigner(f"county/schools/{name}", key_of(f"county/schools/{name}")).cosign(
            parse_note(other)[0], now=NOW
        )
        for name in story.schools
    ]
    (log_of(demo) / COSIGNED).write_bytes(cosigned(other, lines))


def _mirror(demo: Path, school: str, entries: Sequence[bytes]) -> None:
    copy = demo / "schools" / school / "consortium-log"
    copy.mkdir()
    write_lines(copy, entries, ORIGIN)


def a_copy_that_says_something_else(demo: Path) -> None:
    lines = encode(tell_story().consortium, ORIGIN)
    _mirror(demo, "school-2", [line.replace(b'"rule":"adam"', b'"rule":"sgd"') for line in lines])


def a_copy_that_has_more(demo: Path) -> None:
    """The consortium cut its log, and had it cosigned anew by schools that never looked."""
    lines = encode(tell_story().consortium, ORIGIN)
    _mirror(demo, "school-1", [*lines, lines[-1]])


def two_histories_proven(demo: Path) -> None:
    lines = encode(tell_story().consortium, ORIGIN)
    other = [*lines[:5], lines[6], lines[5], *lines[7:]]
    evidence = collect_evidence(
        MerkleTree(map(leaf_hash, lines)),
        note_over(lines, ORIGIN),
        note_over(other, ORIGIN),
        size=len(lines),
        now=NOW,
    )
    folder = demo / "schools" / "school-2" / "evidence"
    folder.mkdir()
    (folder / "fork-20-aa.json").write_bytes(evidence.to_bytes())


def a_proof_that_proves_nothing(demo: Path) -> None:
    folder = demo / "schools" / "school-2" / "evidence"
    folder.mkdir()
    (folder / "fork-20-aa.json").write_bytes(b"{}")


# --- who is there, and under which charter --------------------------------------------------------


def another_charter_everywhere(demo: Path) -> None:
    charter = charter_of(["school-1", "school-2", "school-3"], threshold=1).to_bytes()
    for path in demo.rglob("charter.json"):
        path.write_bytes(charter)


def another_charter_in_one_home(demo: Path) -> None:
    charter = charter_of(["school-1", "school-2", "school-3"], threshold=1).to_bytes()
    (demo / "schools" / "school-1" / "charter.json").write_bytes(charter)


def the_log_of_a_stranger(demo: Path) -> None:
    home = demo / "schools" / "school-9"
    shutil.copytree(demo / "schools" / "school-1", home)
    write_lines(home / "log", [], "county/schools/school-9")


def one_log_in_two_places(demo: Path) -> None:
    shutil.copytree(demo / "schools" / "school-1", demo / "schools" / "copy")


def a_school_in_the_consortiums_place(demo: Path) -> None:
    shutil.rmtree(log_of(demo))
    shutil.move(log_of(demo, "school-1"), log_of(demo))
    shutil.rmtree(demo / "schools" / "school-1")


def a_member_left_out(demo: Path) -> None:
    shutil.rmtree(demo / "schools" / "school-3")


# --- stories that are well signed and not true ----------------------------------------------------


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
    Tampering(act=one_bit_of_the_consortiums_entry, fails=("log.root",)),
    Tampering(act=one_bit_of_a_schools_entry, fails=("log.root",)),
    Tampering(act=an_entry_dropped, fails=("log.size",)),
    Tampering(act=the_last_entry_dropped, fails=("log.size",)),
    Tampering(act=a_schools_last_entry_dropped, fails=("log.size",)),
    Tampering(act=an_entry_doubled, fails=("log.root",), warns=("log.tail",)),
    Tampering(act=two_entries_in_the_other_order, fails=("log.root",)),
    Tampering(act=all_entries_gone, fails=("log.size",)),
    Tampering(act=an_entry_added_after_the_signature, warns=("log.tail",)),
    Tampering(act=a_write_cut_off, warns=("log.tail",)),
    Tampering(act=windows_line_ends, fails=("log.root",)),
    Tampering(act=an_empty_line_between, fails=("log.root",), warns=("log.tail",)),
    Tampering(act=signature_changed, fails=("checkpoint.signature",)),
    Tampering(act=size_changed_under_the_signature, fails=("checkpoint.signature",)),
    Tampering(act=signed_by_another_key, fails=("checkpoint.key",)),
    Tampering(
        act=a_schools_checkpoint_in_its_place, fails=("log.root", "members"), warns=("log.tail",)
    ),
    Tampering(act=an_origin_that_looks_the_same, fails=("checkpoint.origin", "members")),
    Tampering(act=an_origin_with_a_byte_order_mark, fails=("checkpoint.origin", "members")),
    Tampering(act=an_origin_that_is_composed_otherwise, fails=("checkpoint.origin", "members")),
    Tampering(act=windows_line_ends_in_the_checkpoint, fails=("checkpoint.format", "members")),
    Tampering(act=a_zero_byte_in_the_checkpoint, fails=("checkpoint.format", "members")),
    Tampering(act=a_zero_before_the_size, fails=("checkpoint.format", "members")),
    Tampering(act=a_root_in_another_base64, fails=("checkpoint.format", "members")),
    Tampering(act=a_root_of_31_bytes, fails=("checkpoint.format", "members")),
    Tampering(act=a_second_signature_that_is_not_valid, fails=("checkpoint.signature",)),
    Tampering(act=a_checkpoint_over_its_limit, fails=("input", "members")),
    Tampering(act=no_signature_at_all, fails=("checkpoint.format", "members")),
    Tampering(act=a_checkpoint_that_is_garbage, fails=("checkpoint.format",), warns=("members",)),
    Tampering(act=the_checkpoint_gone, fails=("input", "members")),
    Tampering(act=two_checkpoints_exchanged, fails=("log.root",)),
    Tampering(act=an_entry_of_no_type, fails=("entry.type",)),
    Tampering(act=an_entry_with_one_key_more, fails=("entry.schema",)),
    Tampering(act=an_entry_with_a_key_twice, fails=("entry.canonical",)),
    Tampering(act=an_entry_with_spaces, fails=("entry.canonical",)),
    Tampering(act=an_entry_with_an_escaped_letter, fails=("entry.canonical",)),
    Tampering(act=a_school_that_looks_like_another, fails=("entry.schema",)),
    Tampering(act=an_entry_that_says_it_is_another, fails=("entry.index",)),
    Tampering(act=an_entry_of_another_log, fails=("entry.origin",)),
    Tampering(act=an_entry_over_its_limit, fails=("entry.size",)),
    Tampering(act=an_entry_with_a_sentence, fails=("entry.schema",)),
    Tampering(act=an_entry_on_no_day, fails=("entry.envelope",)),
    Tampering(act=an_entry_that_is_no_json, fails=("entry.json",)),
    Tampering(act=a_schools_entry_in_the_consortiums_log, fails=("log.kind",)),
    Tampering(act=an_entry_dated_back, warns=("log.time",)),
    Tampering(
        act=an_old_checkpoint_put_back,
        fails=("log.witnesses",),
        warns=("log.tail", "updates.received"),
    ),
    Tampering(act=the_consortium_set_back, fails=("log.witnesses",), warns=("updates.received",)),
    Tampering(
        act=the_consortium_set_back_with_its_cosignatures,
        warns=("log.witnesses", "updates.received"),
    ),
    Tampering(act=history_written_anew, fails=("log.witnesses",)),
    Tampering(act=a_school_set_back, fails=("updates.sent",)),
    Tampering(act=a_school_that_denies_everything, fails=("updates.sent",)),
    Tampering(act=a_cosignature_changed, fails=("log.witnesses",)),
    Tampering(act=one_witness_of_three, warns=("log.witnesses",)),
    Tampering(act=one_witness_three_times, warns=("log.witnesses",)),
    Tampering(act=a_cosignature_under_anothers_name, warns=("log.witnesses",)),
    Tampering(act=cosignatures_of_an_older_checkpoint, fails=("log.witnesses",)),
    Tampering(act=nobody_cosigned, warns=("log.witnesses",)),
    Tampering(act=a_log_of_another_root_cosigned, fails=("log.witnesses",)),
    Tampering(act=a_copy_that_says_something_else, fails=("log.mirrors",)),
    Tampering(act=a_copy_that_has_more, fails=("log.mirrors",)),
    Tampering(act=two_histories_proven, fails=("log.fork",)),
    Tampering(act=a_proof_that_proves_nothing, warns=("log.fork",)),
    Tampering(act=another_charter_everywhere, fails=("charter",)),
    Tampering(act=another_charter_in_one_home, fails=("input",)),
    Tampering(act=the_log_of_a_stranger, fails=("checkpoint.origin",)),
    Tampering(act=one_log_in_two_places, fails=("members",)),
    Tampering(act=a_school_in_the_consortiums_place, fails=("members",)),
    Tampering(act=a_member_left_out, warns=("members",)),
    Tampering(act=a_plan_of_one_signature, fails=("rounds.plan",)),
    Tampering(act=a_plan_signed_by_strangers, fails=("rounds.plan",)),
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
    Tampering(act=less_noise_than_the_schools_reserved_for, fails=("rounds.privacy",)),
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
