"""What travels in a round under secure sum, each part signed by the school that it is from.

The mathematics is in ``fedtrace.privacy.secure_sum``. Here is what may be said: closed documents,
bound to plan, run and order. The modulus, the range and the members are nowhere among them: they
follow from the signed plan, so no message can change them. Format: docs/formats/secure-sum.md.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from fedtrace.governance.document import Digest, Document, Name, Section
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.merkle import (
    MerkleTree,
    ProofError,
    leaf_hash,
    require_inclusion,
    root_of,
)
from fedtrace.governance.plan import Schools
from fedtrace.governance.signing import (
    PublicKey,
    SignatureError,
    Signer,
    merge_signatures,
    sign_envelope,
    unverified_payload,
    verify_envelope,
    with_signature_of,
)

RUN_KEY_TYPE = "application/vnd.fedtrace.run-key+json"
SHARES_TYPE = "application/vnd.fedtrace.sealed-shares+json"
SURVIVORS_TYPE = "application/vnd.fedtrace.survivors+json"
REVEAL_TYPE = "application/vnd.fedtrace.revealed-shares+json"

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes in hexadecimal."""

Share = Annotated[str, Field(pattern=r"^[0-9a-f]{66}$")]
"""33 bytes in hexadecimal: one share of a seed."""

_SCHOOLS = 1000  # as many as a plan can name

_OneSchools = TypeVar("_OneSchools", "RunKey", "SealedShares", "RevealedShares")


class RunKey(Document):
    """A school's X25519 key of one run, signed with the key that the charter holds.

    Attributes:
        public_key: 32 bytes; the private half never leaves the school.
    """

    payload_type: ClassVar[str] = RUN_KEY_TYPE
    limit_bytes: ClassVar[int] = 4 * 1024

    format: Literal["fedtrace-run-key/1"] = "fedtrace-run-key/1"
    school: Name
    plan_digest: Digest
    run_id: Name
    public_key: Hex32


class SealedShares(Document):
    """A school's word for its seeds of one round, which travel in sealed shares beside it.

    Attributes:
        order_digest: the order; a new attempt is a new order and has new seeds.
        group_digest: over the names and keys that this school masked with.
        root: of the RFC 6962 tree over its pieces: first the commitments, SHA-256 of its seeds, by
            which a wrong share is found out; then what only each of its neighbours can open. So a
            holder can be handed its own piece, and see that the school signed it, without the rest.
    """

    payload_type: ClassVar[str] = SHARES_TYPE
    limit_bytes: ClassVar[int] = 4 * 1024

    format: Literal["fedtrace-sealed-shares/1"] = "fedtrace-sealed-shares/1"
    school: Name
    order_digest: Digest
    group_digest: Digest
    root: Hex32

    def require_pieces(self, pieces: Iterable[bytes]) -> None:
        """All pieces are those that the school signed.

        Raises:
            Rejected: one of them is not.
        """
        if root_of(pieces).hex() != self.root:
            raise Rejected("shares", f"the shares are not those that {self.school} signed")

    def require_piece(self, piece: bytes, index: int, count: int, proof: Sequence[bytes]) -> None:
        """One piece stands at its place under the root that the school signed.

        Raises:
            Rejected: it does not.
        """
        try:
            require_inclusion(leaf_hash(piece), index, count, proof, bytes.fromhex(self.root))
        except ProofError as error:
            raise Rejected("shares", str(error)) from error


class HandedShares(Document):
    """What the aggregator hands a holder of one school's shares; signed by that school alone.

    Attributes:
        signed: the envelope of the school's `SealedShares`, as it came.
        piece: what only this holder can open, in base64.
        proof: hashes that lead from the piece to the root.
    """

    payload_type: ClassVar[str] = "application/vnd.fedtrace.handed-shares+json"
    limit_bytes: ClassVar[int] = 256 * 1024

    format: Literal["fedtrace-handed-shares/1"] = "fedtrace-handed-shares/1"
    signed: Annotated[str, Field(max_length=8 * 1024)]
    piece: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]
    proof: Annotated[tuple[Hex32, ...], Field(max_length=16)]


def handed_shares(envelope: bytes, pieces: Sequence[bytes]) -> tuple[HandedShares, ...]:
    """For each of a school's neighbours, in order, what it is to be handed.

    Args:
        envelope: the school's signed `SealedShares`.
        pieces: its commitments, then the shares for each neighbour.
    """
    tree = MerkleTree(map(leaf_hash, pieces))
    return tuple(
        HandedShares(
            signed=envelope.decode("ascii"),
            piece=base64.b64encode(pieces[index]).decode("ascii"),
            proof=tuple(each.hex() for each in tree.inclusion_proof(index, len(pieces))),
        )
        for index in range(1, len(pieces))
    )


class Survivors(Document):
    """Whose inputs are summed: all of them sign the same bytes before anybody reveals a share.

    Attributes:
        survivors: sorted.
    """

    payload_type: ClassVar[str] = SURVIVORS_TYPE
    limit_bytes: ClassVar[int] = 128 * 1024

    format: Literal["fedtrace-survivors/1"] = "fedtrace-survivors/1"
    plan_digest: Digest
    run_id: Name
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    order_digest: Digest
    group_digest: Digest
    survivors: Schools


class Revealed(Section):
    """One holder's shares of one survivor.

    Attributes:
        own: of the survivor's own seed.
        pairs: lost school -> of the seed that the survivor shared with it.
    """

    own: Share
    pairs: Annotated[dict[Name, Share], Field(max_length=_SCHOOLS)]


class RevealedShares(Document):
    """What one holder reveals, once there is an agreement.

    Attributes:
        survivors_digest: the agreement that it acted on.
        shares: survivor -> shares.
    """

    payload_type: ClassVar[str] = REVEAL_TYPE
    limit_bytes: ClassVar[int] = 4 * 1024 * 1024

    format: Literal["fedtrace-revealed-shares/1"] = "fedtrace-revealed-shares/1"
    school: Name
    order_digest: Digest
    survivors_digest: Digest
    shares: Annotated[dict[Name, Revealed], Field(max_length=_SCHOOLS)]


def sign_document(document: Document, school: Signer) -> bytes:
    """Any of these documents as it travels: a DSSE envelope."""
    return sign_envelope(document.to_bytes(), document.payload_type, [school])


def run_keys(
    envelopes: Iterable[bytes], keys: Mapping[str, PublicKey], *, plan_digest: str, run_id: str
) -> dict[str, bytes]:
    """The schools' X25519 keys of a run, each under the name of the school that signed it.

    Args:
        envelopes: signed `RunKey` documents, from whoever.
        keys: school -> the key of the charter, of the plan's members.
        plan_digest: the plan and
        run_id: the run that they must be for.

    Returns:
        School -> 32 bytes.

    Raises:
        Rejected: a key that its school did not sign, for another run, or two of one school.
    """
    found: dict[str, bytes] = {}
    for envelope in envelopes:
        try:
            school = RunKey.from_bytes(unverified_payload(envelope, RUN_KEY_TYPE)).school
        except SignatureError as error:
            raise Rejected("keys", str(error)) from error
        if school not in keys:
            raise Rejected("keys", f"{school} is no member")
        key = _run_key(envelope, school, keys[school])
        if (key.plan_digest, key.run_id) != (plan_digest, run_id):
            raise Rejected("keys", f"the key of {key.school} is for another run")
        if key.school in found:
            raise Rejected("keys", f"two keys of {key.school}")
        found[key.school] = bytes.fromhex(key.public_key)
    return found


def open_shares(envelope: bytes, keys: Mapping[str, PublicKey]) -> SealedShares:
    """The shares of the one school that signed them.

    Raises:
        Rejected: no member signed them, or another one than they name.
    """
    return _of_one_school(envelope, SealedShares, keys)


def open_revealed(envelope: bytes, keys: Mapping[str, PublicKey]) -> RevealedShares:
    """What the one school that signed it revealed.

    Raises:
        Rejected: no member signed it, or another one than it names.
    """
    return _of_one_school(envelope, RevealedShares, keys)


def agreed_survivors(
    envelope: bytes, keys: Mapping[str, PublicKey], *, threshold: int
) -> tuple[Survivors, tuple[str, ...]]:
    """The list that so many survivors signed, and who signed it.

    Raises:
        Rejected: fewer did, or it is no such list.
    """
    try:
        verified = verify_envelope(envelope, SURVIVORS_TYPE, keys, threshold)
    except SignatureError as error:
        raise Rejected("survivors", f"the list of survivors lacks signatures: {error}") from error
    survivors = Survivors.from_bytes(verified.payload)
    signers = tuple(name for name in verified.signers if name in survivors.survivors)
    if len(signers) < threshold:
        raise Rejected(
            "survivors", f"{len(signers)} of the {threshold} survivors that are needed signed"
        )
    return survivors, signers


def _of_one_school(
    envelope: bytes, document: type[_OneSchools], keys: Mapping[str, PublicKey]
) -> _OneSchools:
    try:
        claimed = document.from_bytes(unverified_payload(envelope, document.payload_type))
        if claimed.school not in keys:
            raise Rejected("signature", f"{claimed.school} is no member")
        own = {claimed.school: keys[claimed.school]}
        verify_envelope(envelope, document.payload_type, own, 1)
    except SignatureError as error:
        raise Rejected("signature", "the school that this names did not sign it") from error
    return claimed


@lru_cache(maxsize=4096)
def _run_key(envelope: bytes, school: Name, public_key: PublicKey) -> RunKey:
    """A key that was verified once; the same bytes come in every round of a run."""
    return _of_one_school(envelope, RunKey, {school: public_key})


def merged_agreement(envelopes: Mapping[str, bytes], keys: Mapping[str, PublicKey]) -> bytes:
    """One envelope with the signature of each school from the envelope that it sent.

    What else a school put into its envelope is left out, or one could undo the others' signatures.

    Raises:
        SignatureError: they do not hold the same list, or there is none.
    """
    own = [
        with_signature_of(envelope, SURVIVORS_TYPE, keys[school])
        for school, envelope in sorted(envelopes.items())
    ]
    return merge_signatures(own, SURVIVORS_TYPE, keys.values())
