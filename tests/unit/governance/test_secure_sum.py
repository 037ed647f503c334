"""What a holder is handed of a school's shares: its own piece, and proof that it is signed."""

import base64
import json

import pytest

from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.merkle import root_of
from fedtrace.governance.secure_sum import (
    HandedShares,
    SealedShares,
    Survivors,
    agreed_survivors,
    handed_shares,
    merged_agreement,
    open_shares,
    sign_document,
)
from fedtrace.governance.signing import generate_key, key_id

PIECES = tuple(f"piece {number}".encode() * 3 for number in range(6))
SCHOOL = generate_key()
SHARES = SealedShares(
    school="school-1",
    order_digest="sha256:" + "1" * 64,
    group_digest="sha256:" + "2" * 64,
    root=root_of(PIECES).hex(),
)
HANDED = handed_shares(sign_document(SHARES, SCHOOL), PIECES)


def check(handed: HandedShares, index: int) -> None:
    shares = open_shares(handed.signed.encode(), {"school-1": SCHOOL.public_key})
    proof = [bytes.fromhex(each) for each in handed.proof]
    shares.require_piece(base64.b64decode(handed.piece), index, len(PIECES), proof)


def test_every_neighbour_is_handed_its_own_piece_and_no_other() -> None:
    assert [base64.b64decode(each.piece) for each in HANDED] == list(PIECES[1:])
    for index, handed in enumerate(HANDED, start=1):
        assert HandedShares.from_bytes(handed.to_bytes()) == handed
        check(handed, index)
        for other in set(range(len(PIECES))) - {index}:
            with pytest.raises(Rejected, match=r"root|too long"):
                check(handed, other)


def test_another_piece_under_the_same_proof_is_found_out() -> None:
    changed = HANDED[0].model_copy(update={"piece": HANDED[1].piece})
    with pytest.raises(Rejected, match="root"):
        check(changed, 1)


def test_all_pieces_together_are_those_that_the_school_signed() -> None:
    SHARES.require_pieces(PIECES)
    for others in (PIECES[:-1], PIECES[::-1], (b"", *PIECES[1:])):
        with pytest.raises(Rejected, match="not those that school-1 signed"):
            SHARES.require_pieces(others)


def test_a_school_cannot_undo_what_others_agreed_to() -> None:
    signers = {f"school-{number}": generate_key() for number in (1, 2, 3)}
    keys = {school: signer.public_key for school, signer in signers.items()}
    listed = Survivors(
        plan_digest="sha256:" + "0" * 64,
        run_id="run-1",
        round=1,
        order_digest=SHARES.order_digest,
        group_digest=SHARES.group_digest,
        survivors=tuple(keys),
    )
    sent = {school: sign_document(listed, signer) for school, signer in signers.items()}
    hostile = json.loads(sent["school-3"])
    spoilt = base64.b64encode(bytes(64)).decode()
    hostile["signatures"] += [
        {"keyid": key_id(keys[school]), "sig": spoilt} for school in ("school-1", "school-2")
    ]
    hostile["signatures"] += [{"keyid": f"{number:x}", "sig": spoilt} for number in range(3_000)]
    sent["school-3"] = json.dumps(hostile).encode()
    merged = merged_agreement(sent, keys)
    assert len(json.loads(merged)["signatures"]) == 3
    assert agreed_survivors(merged, keys, threshold=3)[1] == tuple(keys)
