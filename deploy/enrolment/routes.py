"""What the front answers to a school that wants to join: three routes, each with small JSON.

::

    GET  /v1/enrolment/authority   the CA certificate, PEM; the school knows its SHA-256
    POST /v1/enrolment/ask         {"secret", "request"}  -> {"state"}
    POST /v1/enrolment/look        {"secret", "school"}   -> {"state", "charter"}

Whoever has no invite learns nothing from them, not even which schools there are.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedtrace.deploy.enrolment.desk import Desk, Enrolment, EnrolmentError, State
from fedtrace.deploy.enrolment.founding import is_founded
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.governance.charter_history import read_charters
from fedtrace.governance.document import Name
from fedtrace.governance.errors import Rejected
from fedtrace.governance.signing import SignatureError

logger = logging.getLogger(__name__)

PREFIX = b"/v1/enrolment/"
AUTHORITY, ASK, LOOK = (PREFIX + name for name in (b"authority", b"ask", b"look"))
LARGEST_BODY_BYTES = 64 * 1024
"""A request has 2 KiB; more is not read."""

Secret = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Asking(_Message):
    """What a school sends with its request; ``request`` is a DSSE envelope."""

    secret: Secret
    request: Annotated[str, Field(max_length=16 * 1024)]


class Looking(_Message):
    """What a school sends to see how far it is."""

    secret: Secret
    school: Name


class Standing(_Message):
    """How far a school is.

    Attributes:
        state: of its request.
        charters: once the charter names the school, the founding charter and every later version,
            signed, as text.
    """

    state: State
    charters: tuple[str, ...] | None = None


class Failing(_Message):
    """Why a request was not taken, for a person."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status of HTTP, a content type and a body."""

    status: int
    content: bytes
    content_type: str = "application/json"


def authority_digest(ca_certificate: bytes) -> str:
    """SHA-256 over a PEM certificate's DER form, as ``sha256:<hex>``.

    Raises:
        ValueError: it is no certificate.
    """
    found = x509.load_pem_x509_certificate(ca_certificate)
    return f"sha256:{hashlib.sha256(found.public_bytes(Encoding.DER)).hexdigest()}"


class EnrolmentRoutes:
    """The three routes.

    Args:
        home: the consortium's.
        ca_certificate: PEM, what schools pin.
        clock: the time in UTC.
    """

    def __init__(self, home: Path, ca_certificate: bytes, clock: Callable[[], datetime]) -> None:
        self._home, self._ca, self._clock = home, ca_certificate, clock
        self._desk = Desk(home)

    def answer(self, method: str, path: bytes, body: bytes) -> Answer | None:
        """The answer to one request; None where there is no such route."""
        try:
            match method, path:
                case "GET", route if route == AUTHORITY:
                    return Answer(
                        status=200, content=self._ca, content_type="application/x-pem-file"
                    )
                case "POST", route if route == ASK:
                    return _said(self._ask(Asking.model_validate_json(body)))
                case "POST", route if route == LOOK:
                    return _said(self._look(Looking.model_validate_json(body)))
                case _:
                    return None
        except (ValidationError, SignatureError, Rejected):
            return _said(Failing(error="this is not a join request"), status=400)
        except EnrolmentError as error:
            return _said(Failing(error=str(error)), status=403)
        except (OSError, NetworkError):
            logger.exception("a request to join could not be kept")
            return _said(
                Failing(error="the consortium cannot keep the request now: try again later, or "
                        "tell its operator"),
                status=503,
            )  # fmt: skip

    def _ask(self, asking: Asking) -> Standing:
        enrolment = self._desk.ask(
            asking.request.encode("ascii", "replace"),
            asking.secret,
            authority=authority_digest(self._ca),
            now=self._clock(),
        )
        logger.info("%s has asked to join", enrolment.school)
        return Standing(state=enrolment.state)

    def _look(self, looking: Looking) -> Standing:
        enrolment = self._desk.look(looking.school, looking.secret)
        return Standing(state=enrolment.state, charters=self._charters_for(enrolment))

    def _charters_for(self, enrolment: Enrolment) -> tuple[str, ...] | None:
        """The charter, for a school that it names with the keys that it asked with."""
        request = enrolment.opened() if enrolment.state == "approved" else None
        if request is None or not is_founded(self._home):
            return None
        charters = read_charters(self._home)
        if charters.current.member_keys().get(request.school) != request.public_key:
            return None
        first = charters.versions[0].to_bytes()
        return tuple(each.decode("utf-8") for each in (first, *charters.envelopes))


def _said(message: _Message, *, status: int = 200) -> Answer:
    return Answer(status=status, content=message.model_dump_json(exclude_none=True).encode())
