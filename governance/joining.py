"""A school's request to become a member: its public keys, signed by the private ones.

The request is made in the school, where all its private keys are and stay. It names the certificate
authority of the consortium that it is meant for, so it is worth nothing at another, and both of
the school's signing keys sign it (DSSE v1), so nobody can ask with a key that is not theirs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.charter import Person
from fedtrace.governance.document import Digest, Document, Name, UtcDatetime
from fedtrace.governance.signing import (
    PublicKey,
    Signer,
    sign_envelope,
    unverified_payload,
    verify_envelope,
)

JOIN_TYPE = "application/vnd.fedtrace.join-request+json"
"""What a request's envelope says it holds."""

_SHOWN_BITS = 100  # 20 letters: nobody makes a second request that shows the same


class JoinRequest(Document):
    """What a school asks with.

    Attributes:
        school: the name that the invite gave it.
        authority: SHA-256 of the consortium's CA certificate (DER), which the school has pinned.
        public_key: signs plans, manifests and refusals.
        log_public_key: signs the checkpoints of the school's log.
        people: who will sign plans for the school.
        node_key: what its node connects with: P-384, OpenSSH format.
        made_at: by the school's clock.
    """

    payload_type: ClassVar[str] = JOIN_TYPE
    limit_bytes: ClassVar[int] = 8 * 1024

    format: Literal["fedtrace-join-request/1"] = "fedtrace-join-request/1"
    school: Name
    authority: Digest
    public_key: PublicKey
    log_public_key: PublicKey
    people: Annotated[tuple[Person, ...], Field(max_length=20)] = ()
    node_key: Annotated[str, Field(pattern=r"^ecdsa-sha2-nistp384 [A-Za-z0-9+/=]{64,512}$")]
    made_at: UtcDatetime

    def fingerprint(self) -> str:
        """The request in 20 letters and digits, for comparing by telephone."""
        return spoken_fingerprint(self.to_bytes())


def spoken_fingerprint(content: bytes) -> str:
    """The first 100 bits of the SHA-256 of ``content``, five groups of four (base32, RFC 4648)."""
    letters = base64.b32encode(hashlib.sha256(content).digest()).decode("ascii").lower()
    shown = letters[: _SHOWN_BITS // 5]
    return "-".join(shown[i : i + 4] for i in range(0, len(shown), 4))


def sign_join_request(request: JoinRequest, signers: Sequence[Signer]) -> bytes:
    """The request's envelope, with a signature of each of the school's signing keys."""
    return sign_envelope(request.to_bytes(), JOIN_TYPE, signers)


def open_join_request(envelope: bytes) -> JoinRequest:
    """A request that both of its own keys signed.

    Raises:
        SignatureError: it cannot be read, or a signature is missing or wrong.
        Rejected: it is not a join request.
    """
    request = JoinRequest.from_bytes(unverified_payload(envelope, JOIN_TYPE))
    keys = {"school": request.public_key, "log": request.log_public_key}
    verify_envelope(envelope, JOIN_TYPE, keys, threshold=len(keys))
    return request
