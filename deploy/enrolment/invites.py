"""An invite: one line of text that tells a school where its consortium is and lets it ask once.

It carries the address, the SHA-256 of the consortium's CA certificate, the school's name and a
secret of 256 bits. The consortium keeps the secret's hash only. Whoever has the line can ask to
join, nothing more: a person approves, after comparing the request's fingerprint by telephone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.deploy.network.node import Host
from fedtrace.governance.document import Digest, Document, Name, UtcDatetime
from fedtrace.governance.errors import Rejected

_PREFIX = "fedtrace-invite-"
_LONGEST = 4096
_CHECK_BYTES = 4


class Invite(Document):
    """What the line says.

    Attributes:
        consortium: its name, for the person who reads.
        school: the name under which the school joins.
        host: the server's name or address, as in its certificate.
        port: its one public port.
        authority: SHA-256 of its CA certificate in DER form.
        secret: 256 random bits in hexadecimal; proves that this invite was given.
        expires_at: from then on nobody can ask with it.
    """

    payload_type: ClassVar[str] = "application/vnd.fedtrace.invite+json"
    limit_bytes: ClassVar[int] = 2048

    format: Literal["fedtrace-invite/1"] = "fedtrace-invite/1"
    consortium: Name
    school: Name
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)]
    authority: Digest
    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires_at: UtcDatetime

    def __repr__(self) -> str:
        return f"Invite({self.school} -> {self.host}:{self.port})"  # never the secret

    __str__ = __repr__

    def to_line(self) -> str:
        """One line to send to the school."""
        content = zlib.compress(self.to_bytes(), level=9)
        check = hashlib.sha256(content).digest()[:_CHECK_BYTES]
        return _PREFIX + base64.urlsafe_b64encode(check + content).decode("ascii").rstrip("=")


def read_invite(text: str, *, now: datetime) -> Invite:
    """The invite in what a person pasted; line breaks and spaces that a mail put in are dropped.

    Raises:
        ValueError: it is not an invite, is incomplete, or has expired.
    """
    line = "".join(text.split())
    if not line.startswith(_PREFIX):
        raise ValueError(f"this is not an invite: an invite starts with {_PREFIX}")
    try:
        if len(line) > _LONGEST:
            raise ValueError
        encoded = line.removeprefix(_PREFIX)
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        check, content = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if hashlib.sha256(content).digest()[:_CHECK_BYTES] != check:
            raise ValueError
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(content, Invite.limit_bytes)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise ValueError(
            "the invite is incomplete or was changed on its way: copy the whole line again, or "
            "ask the consortium to send it again"
        ) from error
    try:
        invite = Invite.from_bytes(plain)
    except Rejected as error:  # the check above held: the line came as it was written
        raise ValueError(f"the invite cannot be used: {error.sentence}") from error
    if invite.expires_at <= now:
        raise ValueError(
            f"the invite expired at {invite.expires_at:%Y-%m-%d %H:%M} UTC, and this machine's "
            f"clock says {now:%Y-%m-%d %H:%M} UTC. If the clock is right, ask the consortium for "
            f"a new one: fedtrace consortium invite {invite.school}"
        )
    return invite


def secret_digest(secret: str) -> str:
    """What the consortium keeps of an invite's secret."""
    return f"sha256:{hashlib.sha256(secret.encode('ascii')).hexdigest()}"
