"""The consortium's desk: who was invited, who asked with which keys, whom a person approved.

One small file a school below ``<home>/network/enrolment``, so the front, which takes requests, and
the commands of a person, which approve them, need no connection to each other. A file is replaced
as a whole; while one of them changes it, the other waits.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fedtrace.client.files import write_private
from fedtrace.deploy.enrolment.invites import Invite, secret_digest
from fedtrace.deploy.network.address import Address
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.provisioning import private_directory
from fedtrace.governance.document import Digest, Name, UtcDatetime
from fedtrace.governance.joining import JoinRequest, open_join_request
from fedtrace.governance.locks import locked

_NAME: TypeAdapter[str] = TypeAdapter(Name)

State = Literal["invited", "asked", "approved", "revoked"]


class EnrolmentError(ValueError):
    """What was asked for cannot be; the sentence says why and what to do."""


class Enrolment(BaseModel):
    """How far one school is.

    Attributes:
        school: its name.
        state: invited (nobody has asked yet), asked (a person has to approve), approved, revoked.
        invite_digest: SHA-256 of the invite's secret.
        expires_at: of the invite.
        request: the envelope that the school asked with, as text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    school: Name
    state: State
    invite_digest: Digest
    expires_at: UtcDatetime
    request: Annotated[str, Field(max_length=64 * 1024)] | None = None

    def opened(self) -> JoinRequest | None:
        """The request; None while nobody has asked.

        Raises:
            SignatureError, Rejected: the file was changed by hand.
        """
        return open_join_request(self.request.encode()) if self.request else None


class Desk:
    """The enrolments of one consortium.

    Args:
        home: the consortium's.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "network" / "enrolment"

    def invite(
        self, school: str, address: Address, *, authority: str, now: datetime, valid: timedelta
    ) -> Invite:
        """A new invite for a school; an earlier one that nobody has used is void from now on.

        Raises:
            EnrolmentError: the school has asked already, or is approved.
            ValueError: a name that no charter can hold.
        """
        _require_name(school)
        invite = Invite(
            consortium=address.consortium,
            school=school,
            host=address.hosts[0],
            port=address.port,
            authority=authority,
            secret=secrets.token_hex(32),
            expires_at=(now + valid).replace(microsecond=0),
        )
        with self._changing():
            present = self._read(school)
            if present is not None and present.state in ("asked", "approved"):
                raise EnrolmentError(
                    f"{school} has {'asked' if present.state == 'asked' else 'joined'} already. To "
                    f"start again with new keys: fedtrace consortium revoke {school}, then invite"
                )
            self._write(
                Enrolment(
                    school=school,
                    state="invited",
                    invite_digest=secret_digest(invite.secret),
                    expires_at=invite.expires_at,
                )
            )
        return invite

    def ask(self, envelope: bytes, secret: str, *, authority: str, now: datetime) -> Enrolment:
        """Take a school's request, once: the invite is bound to these keys from now on.

        The same request again is answered as before, because an answer can be lost on its way.

        Raises:
            EnrolmentError: no such invite, expired, used with other keys, or for another server.
            SignatureError, Rejected: the request cannot be read or is not signed by its keys.
        """
        request = open_join_request(envelope)
        with self._changing():
            present = self._with_secret(request.school, secret)
            if present.request is not None:
                if present.opened() == request:
                    return present
                raise EnrolmentError(
                    "this invite has been used with other keys: if that was not you, tell the "
                    "consortium at once; it has to give a new one"
                )
            if present.expires_at <= now:
                raise EnrolmentError(f"the invite expired at {present.expires_at:%Y-%m-%d %H:%M}")
            if request.authority != authority:
                raise EnrolmentError("the request was made for another consortium's server")
            asked = present.model_copy(
                update={"state": "asked", "request": envelope.decode("ascii")}
            )
            self._write(asked)
            return asked

    def look(self, school: str, secret: str) -> Enrolment:
        """How far the school is that holds this invite's secret.

        Raises:
            EnrolmentError: there is no such invite.
        """
        return self._with_secret(school, secret)

    def approve(self, school: str, fingerprint: str) -> JoinRequest:
        """Accept the keys whose fingerprint a person has compared.

        Raises:
            EnrolmentError: the school has not asked, or with other keys.
        """
        with self._changing():
            present = self._read(school)
            request = present.opened() if present is not None else None
            if present is None or request is None or present.state == "revoked":
                raise EnrolmentError(
                    f"{school} has not asked to join yet; fedtrace consortium members shows who has"
                )
            if not hmac.compare_digest(request.fingerprint(), fingerprint.strip().lower()):
                raise EnrolmentError(
                    f"the request that lies here for {school} has another fingerprint. Ask the "
                    "school to read it out again from fedtrace school join. If it stays different, "
                    f"somebody else used the invite: fedtrace consortium revoke {school}"
                )
            self._write(present.model_copy(update={"state": "approved"}))
            return request

    def revoke(self, school: str) -> Enrolment:
        """Forget that the school was invited or approved; it can be invited again.

        Raises:
            EnrolmentError: nobody knows the school.
        """
        with self._changing():
            present = self._read(school)
            if present is None:
                raise EnrolmentError(
                    f"{school} was never invited; fedtrace consortium members shows who was"
                )
            self._write(present.model_copy(update={"state": "revoked"}))
            return present

    def all(self) -> tuple[Enrolment, ...]:
        """Everybody who was ever invited, by name.

        Raises:
            NetworkError: a file is damaged.
        """
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        return tuple(found for name in names if (found := self._read(name)) is not None)

    def _with_secret(self, school: str, secret: str) -> Enrolment:
        """Nobody without the secret learns whether a school was invited at all."""
        present = self._read(school)
        known = present.invite_digest if present is not None else secret_digest("")
        matches = hmac.compare_digest(known, secret_digest(secret))
        if present is None or present.state == "revoked" or not matches:
            raise EnrolmentError(
                "the consortium does not know this invite: a newer one was made, or it was revoked"
            )
        return present

    @contextmanager
    def _changing(self) -> Iterator[None]:
        private_directory(self._folder)
        with locked(self._folder / ".lock", wait=True):
            yield

    def _read(self, school: str) -> Enrolment | None:
        _require_name(school)
        path = self._folder / f"{school}.json"
        try:
            return Enrolment.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise NetworkError(
                f"{path} is damaged: remove it and invite the school again"
            ) from error

    def _write(self, enrolment: Enrolment) -> None:
        path = self._folder / f"{enrolment.school}.json"
        write_private(path, enrolment.model_dump_json(indent=2).encode(), replace=True)


def _require_name(school: str) -> None:
    """A name becomes a file's name, so it is looked at before anything is opened."""
    try:
        _NAME.validate_python(school)
    except ValidationError as error:
        raise EnrolmentError(
            f"{school!r} cannot be a school's name: letters, digits, dots, hyphens and "
            "underscores, at most 64"
        ) from error
