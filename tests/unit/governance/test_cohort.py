"""Who was in a round: provable for each student, and for nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.logs import encode, key_of, note_over, public

from fedtrace.governance.canonical import digest
from fedtrace.governance.cohort import (
    CohortProof,
    Commitment,
    RoundProof,
    commit,
    prove,
    pseudonym,
    salt_of,
    verify_cohort_proof,
)
from fedtrace.governance.log.entries import Entry, KillSwitchChanged, RoundReserved
from fedtrace.governance.log.merkle import MerkleTree, ProofError, leaf_hash

ORIGIN = "county/schools/school-1"
SECRET = bytes(range(32))
TOKENS = tuple(f"{number:032x}" for number in range(5))


def committed(tokens: tuple[str, ...] = TOKENS, secret: bytes = SECRET) -> Commitment:
    return commit((pseudonym(salt_of(secret), token) for token in tokens), secret)


def proof_of(token: str, commitment: Commitment, **changes: Any) -> CohortProof:
    reserved = RoundReserved(
        plan_digest=digest(b"plan"),
        run_id="run-1",
        round=7,
        kind="train",
        noise_multiplier="1",
        sampling_rate="0.5",
        cohort_size="1-9",
        cohort_root=committed().digest,
    )
    entries: list[Entry] = [KillSwitchChanged(on=True), reserved]
    lines = encode(entries, ORIGIN)
    tree = MerkleTree(map(leaf_hash, lines))
    values: dict[str, Any] = {
        "salt": commitment.salt.hex(),
        "leaves": len(commitment.leaves),
        "root": commitment.tree.root().hex(),
        "shown": prove(commitment, token),
        "entry_index": 1,
        "entry": lines[1].decode(),
        "path": tuple(each.hex() for each in tree.inclusion_proof(1, 2)),
    }
    return CohortProof(
        school="school-1",
        student=token,
        round=7,
        rounds=(RoundProof(**{**values, **changes}),),
        checkpoint=note_over(lines, ORIGIN).decode(),
    )


def member(proof: CohortProof, origin: str = ORIGIN) -> bool:
    (answer,) = verify_cohort_proof(proof, origin=origin, public_key=public(key_of(ORIGIN)))
    assert ("NOT" in answer.sentence) is not answer.member
    return answer.member


def test_everybody_gets_the_true_answer() -> None:
    for token in TOKENS:
        assert member(proof_of(token, committed()))
    for number in range(50, 90):
        assert not member(proof_of(f"{number:032x}", committed()))


@pytest.mark.parametrize(("students", "leaves"), [(0, 64), (5, 64), (62, 64), (63, 128)])
def test_the_number_of_leaves_tells_no_number_of_students(students: int, leaves: int) -> None:
    tokens = tuple(f"{number:032x}" for number in range(students))
    assert len(committed(tokens).leaves) == leaves


def test_two_rounds_share_no_leaf() -> None:
    other = committed(secret=bytes(32))
    shared = set(committed().leaves) & set(other.leaves)
    assert shared == {bytes(32), bytes([255]) * 32}


OUTSIDER = f"{77:032x}"


def other_salt() -> CohortProof:
    """Another salt would move a child out of its place."""
    return proof_of(TOKENS[0], committed(secret=bytes(32)))


def left_out() -> CohortProof:
    return proof_of(TOKENS[0], committed(TOKENS[1:]))


def somebody_elses_leaf() -> CohortProof:
    return proof_of(OUTSIDER, committed(), shown=prove(committed(), TOKENS[0]))


def not_neighbours() -> CohortProof:
    here = committed()
    first, last = (
        leaf.model_copy(update={"path": tuple(p.hex() for p in here.tree.inclusion_proof(i, 64))})
        for i, leaf in ((0, lowest(here)), (63, highest(here)))
    )
    return proof_of(TOKENS[0], here, shown=(first, last))


def lowest(here: Commitment) -> Any:
    return prove(here, OUTSIDER)[0].model_copy(update={"index": 0, "leaf": "00" * 32})


def highest(here: Commitment) -> Any:
    return prove(here, OUTSIDER)[0].model_copy(update={"index": 63, "leaf": "ff" * 32})


def other_round() -> CohortProof:
    return proof_of(TOKENS[0], committed()).model_copy(update={"round": 8})


def other_entry() -> CohortProof:
    line = encode([KillSwitchChanged(on=True)], ORIGIN)[0].decode()
    return proof_of(TOKENS[0], committed(), entry=line)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (other_salt, "salt, size and root are not"),
        (left_out, "salt, size and root are not"),
        (somebody_elses_leaf, "the leaf is another student's"),
        (not_neighbours, "would not lie between"),
        (other_round, "does not settle round 8"),
        (other_entry, "not under this root"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_false_answer_is_seen(made: Callable[[], CohortProof], sentence: str) -> None:
    with pytest.raises(ProofError, match=sentence):
        member(made())


def test_another_log_answers_nothing() -> None:
    with pytest.raises(ProofError, match="the checkpoint is not the log's"):
        member(proof_of(TOKENS[0], committed()), origin="county/schools/school-2")


def test_the_file_comes_back_as_it_was() -> None:
    proof = proof_of(TOKENS[0], committed())
    assert CohortProof.from_bytes(proof.to_bytes()) == proof
