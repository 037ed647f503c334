"""Trust policies: what the format allows, who is a quorum, and how many may lie."""

from __future__ import annotations

from itertools import combinations

import pytest
from support.logs import key_of
from support.witnesses import log_key, note_of, policy, tree_of, witness

from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.quorum import (
    QuorumError,
    TrustPolicy,
    default_quorum,
    may_collude,
    parse_policy,
)

W = {name: witness(name).verifier.to_text() for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3")}
# The example of c2sp.org/tlog-policy, with keys.
C2SP_POLICY = f"""
log {log_key().to_text()}

witness X1 {W["X1"]}
witness X2 {W["X2"]} https://witness.example/x2
witness X3 {W["X3"]}
\tgroup  X-witnesses 2 X1 X2 X3

# of another organisation
witness Y1 {W["Y1"]}
witness Y2 {W["Y2"]}
witness Y3 {W["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
LOG = f"log {log_key().to_text()}\n"
ONE = f"{LOG}witness X1 {W['X1']}\n"


def test_the_example_of_the_specification_means_what_it_says() -> None:
    parsed = parse_policy(C2SP_POLICY.encode())
    names = sorted(parsed.witnesses)
    for count in range(7):
        for some in combinations(names, count):
            x, y = sum(n[0] == "X" for n in some), sum(n[0] == "Y" for n in some)
            assert parsed.is_satisfied(frozenset(some)) == (x >= 2 and y >= 1)
    assert parsed.may_collude() is None
    assert parse_policy(parsed.to_text().encode()) == parsed


def test_what_is_written_is_read() -> None:
    assert parse_policy(policy().to_text().encode()) == policy()


def test_no_quorum_asks_for_nobody() -> None:
    parsed = parse_policy(f"{LOG}quorum none\n".encode())
    assert parsed.open(note_of(tree_of(3))).times == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LOG, "no quorum line"),
        (f"{LOG}quorum none\nquorum none\n", "two quorum lines"),
        (f"{LOG}quorum X1\n", "neither a witness nor a group"),
        (f"{ONE}witness X1 {W['X2']}\nquorum X1\n", "the name X1 is taken"),
        (f"{ONE}witness X2 {W['X1']}\nquorum X1\n", "stands in the policy already"),
        (f"{LOG}{LOG}quorum none\n", "stands in the policy already"),
        (f"{LOG}witness none {W['X1']}\nquorum none\n", "the name none is taken"),
        (f"{ONE}group g all X1 none\nquorum g\n", "none is neither"),
        (f"{ONE}group g 2 X1\nquorum g\n", "1 to 1"),
        (f"{ONE}group g 0 X1\nquorum g\n", "1 to 1"),
        (f"{ONE}group g 01 X1\nquorum g\n", "1 to 1"),
        (f"{ONE}group g any\nquorum g\n", "no log, witness"),
        (f"{ONE}group g any X1 X1\nquorum g\n", "a member twice"),
        (f"{ONE}group g any X1\ngroup h any X1\nquorum h\n", "a member twice"),
        (f"{ONE}group X1 any X1\nquorum X1\n", "the name X1 is taken"),
        (f"log {W['X1']}\nquorum none\n", "kind 1"),
        (f"{LOG}witness X1 {log_key().to_text()}\nquorum none\n", "kind 4"),
        ("log nonsense\nquorum none\n", "line 1"),
        (f"{LOG}quorum none\r\n", "control character"),
        (f"{LOG}monitor x\nquorum none\n", "line 2"),
        ("#" * (1024 * 1024 + 1), "at most"),
    ],
)
def test_what_no_policy_can_say(text: str, problem: str) -> None:
    with pytest.raises(QuorumError, match=problem):
        parse_policy(text.encode())


def test_a_quorum_opens_a_checkpoint_and_less_does_not() -> None:
    opened = policy().open(note_of(tree_of(4), "w3", "w1"))
    assert (opened.checkpoint.size, sorted(opened.times)) == (4, ["w1", "w3"])
    with pytest.raises(NoteError, match="no quorum") as error:
        policy().open(note_of(tree_of(4), "w3", "stranger"))
    assert error.value.check == "quorum"
    assert sorted(policy().seen(note_of(tree_of(4), "w3")).times) == ["w3"]


def test_a_quorum_does_not_replace_the_log() -> None:
    other = LogCheckpoint(origin="other/log", size=4, root=tree_of(4).root())
    with pytest.raises(NoteError) as error:
        policy().open(sign_checkpoint(other, key_of("county/log")))
    assert error.value.check == "origin"
    forged = LogCheckpoint(origin="county/log", size=4, root=tree_of(4).root())
    with pytest.raises(NoteError) as error:
        policy().open(sign_checkpoint(forged, key_of("somebody")))
    assert error.value.check == "key"


def test_two_quorums_share_an_honest_witness() -> None:
    """The bound that is printed, against every way in which witnesses can be split."""
    for n in range(1, 8):
        for k in range(1, n + 1):
            quorums = [set(each) for each in combinations(range(n), k)]
            least = min(len(a & b) for a in quorums for b in quorums)
            # f liars can be in both quorums; with more shared than f, one of these is honest.
            assert max(may_collude(k, n), -1) == max(least - 1, -1)


@pytest.mark.parametrize(
    ("witnesses", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (6, 4), (7, 5), (10, 7)]
)
def test_the_default_quorum(witnesses: int, quorum: int) -> None:
    assert default_quorum(witnesses) == quorum
    assert may_collude(quorum, witnesses) >= (witnesses - 1) // 3


def test_a_single_witness_as_quorum() -> None:
    alone = TrustPolicy(logs=(log_key(),), witnesses={"w1": witness("w1").verifier}, quorum="w1")
    assert alone.may_collude() == 0
    assert alone.is_satisfied(frozenset({"w1"}))
    assert policy(threshold=1).may_collude() == -2
