"""Who agreed to a document: signatures of people, counted by the members that they speak for.

A signature is a person's; what a charter counts is members. A member agrees when
``people_per_member`` of its people signed, or its machine where it names no people. This is the
one place that counts, for plans, revocations and charters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fedtrace.governance.charter import Charter
from fedtrace.governance.document import Document
from fedtrace.governance.signing import (
    PublicKey,
    SignatureError,
    Signer,
    add_signature,
    merge_signatures,
    sign_envelope,
    unverified_payload,
    valid_signers,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What enough signatures are under.

    Attributes:
        payload: the signed bytes.
        members: who agreed, sorted.
        waiting: member -> how many of its people are still missing, of those that began to sign.
    """

    payload: bytes
    members: tuple[str, ...]
    waiting: Mapping[str, int]


def read_agreement(envelope: bytes, payload_type: str, charter: Charter) -> Agreement:
    """Who agreed so far, be it nobody.

    Signatures by keys that speak for no member are ignored: they neither help nor harm.

    Raises:
        SignatureError: the envelope cannot be read, or holds another type.
    """
    keys = _keys_of(charter)
    verified = valid_signers(envelope, payload_type, keys)
    signed = Counter(member for member, _ in verified.signers)
    needed = charter.people_per_member
    return Agreement(
        payload=verified.payload,
        members=tuple(sorted(member for member, count in signed.items() if count >= needed)),
        waiting={m: needed - count for m, count in sorted(signed.items()) if count < needed},
    )


def require_agreement(envelope: bytes, payload_type: str, charter: Charter) -> Agreement:
    """Who agreed, which is at least as many members as the charter asks for.

    Raises:
        SignatureError: they are fewer, or the envelope cannot be read or holds another type.
    """
    found = read_agreement(envelope, payload_type, charter)
    if len(found.members) < charter.threshold:
        waiting = ", ".join(f"{count} of {member}" for member, count in found.waiting.items())
        raise SignatureError(
            f"{len(found.members)} of the {charter.threshold} members that are needed agreed"
            + (f"; people still missing: {waiting}" if waiting else "")
        )
    return found


def merge_agreements(envelopes: Iterable[bytes], payload_type: str, charter: Charter) -> bytes:
    """One envelope with the signatures of several copies of a document; none that counts is lost.

    Raises:
        SignatureError: as `merge_signatures`.
    """
    return merge_signatures(envelopes, payload_type, _keys_of(charter).values())


def add_agreement(envelope: bytes | None, document: Document, signer: Signer) -> bytes:
    """A document's envelope with one more signature, or with its first.

    Args:
        envelope: with the signatures so far; None where nobody has signed.
        document: what the person read; nobody signs other bytes than these.
        signer: the person's key.

    Raises:
        SignatureError: it is no such envelope, or holds another document.
        SignerError: the key did not sign.
    """
    if envelope is None:
        return sign_envelope(document.to_bytes(), document.payload_type, [signer])
    if unverified_payload(envelope, document.payload_type) != document.to_bytes():
        raise SignatureError(
            f"what others signed there is not {document.digest()}, but another document: find out "
            "which of the two is meant"
        )
    return add_signature(envelope, document.payload_type, signer)


def _keys_of(charter: Charter) -> Mapping[tuple[str, int], PublicKey]:
    """Every key that speaks for a member when it agrees: (member, number) -> key."""
    return {
        (member.name, number): key
        for member in charter.members
        for number, key in enumerate(
            [person.public_key for person in member.people] or [member.public_key]
        )
    }
