"""The school's side: make the keys here, ask once, wait, and make a home of what comes back.

``<home>/network/joining.json`` keeps the invite's secret and the request, so every step can be
repeated: after an answer that was lost, a restart, or a day in which nobody approved.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from fedtrace.client.files import write_private
from fedtrace.client.home import initialise_school
from fedtrace.client.keys import SchoolKeys, create_keys, load_keys
from fedtrace.deploy.enrolment.invites import Invite
from fedtrace.deploy.enrolment.routes import (
    ASK,
    AUTHORITY,
    LOOK,
    Asking,
    Failing,
    Looking,
    Standing,
    authority_digest,
)
from fedtrace.deploy.network.certificates import client_context_of
from fedtrace.deploy.network.errors import NetworkError, UnreachableError
from fedtrace.deploy.network.node import (
    CA_FILE,
    JOINING_FILE,
    Connection,
    connect,
    connection_of,
    connection_to,
    forget,
    proxy_refusal,
)
from fedtrace.governance.charter import Charter, Person
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Rejected
from fedtrace.governance.joining import JoinRequest, open_join_request, sign_join_request
from fedtrace.governance.policy import SchoolPolicy
from fedtrace.governance.signing import KeySigner

POLICY_FILE = "policy.toml"

_SECONDS = 20.0
_LARGEST_ANSWER = 16 * 1024 * 1024  # every version of a charter

Message = TypeVar("Message", bound=BaseModel)


class Joining(BaseModel):
    """What a school remembers of its request.

    Attributes:
        invite: as it came; it holds the secret.
        request: the envelope that was sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    invite: Invite
    request: str

    def opened(self) -> JoinRequest:
        """The request."""
        return open_join_request(self.request.encode())


def join(
    home: Path,
    invite: Invite,
    *,
    proxy: str | None,
    people: Sequence[Person] = (),
    now: datetime,
) -> JoinRequest:
    """Make keys, pin the consortium's CA, and ask to become a member.

    Keys and request of an earlier call with this invite are used again. Nothing is sent before
    the server has shown a certificate of the authority that the invite names.

    Args:
        home: of the school; created when it is not there.
        invite: not expired.
        proxy: ``http://[USER:PASSWORD@]HOST:PORT``, or None.
        people: who will sign plans for the school.
        now: the time.

    Raises:
        NetworkError: the server cannot be reached, is another one, or does not take the request.
        OSError: a file cannot be written.
        ValueError: the proxy has not that form, or a key there is damaged.
    """
    connection = connection_to(invite.school, f"{invite.host}:{invite.port}", proxy)
    authority = _fetch_authority(connection, invite)
    earlier = joining_of(home)
    joining = earlier if earlier is not None and earlier.invite == invite else None
    if joining is not None and people and joining.opened().people != tuple(people):
        raise NetworkError(
            "this school has asked already, and named other people or none: who signs for it is "
            "changed in the next version of the charter, or with a new invite. Nothing was sent"
        )
    if joining is None:
        _require_unused(connection, authority, invite)  # before anything here is replaced
    home.mkdir(parents=True, exist_ok=True)
    keys = load_keys(home / "keys") if (home / "keys").is_dir() else create_keys(home / "keys")
    if joining is None:
        forget(home)  # Flower never admits a node's key again that was revoked
    node = connect(home, connection, authority)
    joining = joining or _new(home, invite, keys, node.public_key, people, now)
    asking = Asking(secret=invite.secret, request=joining.request)
    _post(connection, authority, ASK, asking, Standing)
    return joining.opened()


def joining_of(home: Path) -> Joining | None:
    """What the school has asked with; None where it never joined by an invite.

    Raises:
        NetworkError: the file is damaged.
    """
    path = home / "network" / JOINING_FILE
    try:
        return Joining.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise NetworkError(f"{path} is damaged: join again with the consortium's invite") from error


def standing(home: Path, joining: Joining) -> Standing:
    """Ask the consortium how far it is.

    Raises:
        NetworkError: it cannot be reached, or does not know the invite any more.
    """
    looking = Looking(secret=joining.invite.secret, school=joining.invite.school)
    authority = (home / "network" / CA_FILE).read_bytes()
    return _post(connection_of(home), authority, LOOK, looking, Standing)


def charters_in(found: Standing) -> CharterHistory | None:
    """The charter that the consortium showed, in all its versions; None where it showed none.

    Raises:
        NetworkError: what it showed is none, or was not agreed to.
    """
    if found.charters is None:
        return None
    try:
        founding, *later = (each.encode() for each in found.charters)
        return CharterHistory.follow(Charter.from_bytes(founding), later)
    except (ValueError, Rejected) as error:
        raise NetworkError(
            f"the consortium shows a charter that cannot be followed ({error}): ask it what is "
            "wrong. Nothing was written"
        ) from error


def become_member(
    home: Path, charters: CharterHistory, policy: SchoolPolicy, *, now: datetime
) -> None:
    """Make the school's home around its keys, under the charter that names them.

    Raises:
        PolicyError: the charter does not name this school with these keys.
        OSError: a file cannot be written; the call can be repeated.
    """
    initialise_school(home, charters=charters, policy=policy, now=now).close()


def _require_unused(connection: Connection, authority: bytes, invite: Invite) -> None:
    """Refuse an invite that is void, or bound to keys that are not here.

    Raises:
        NetworkError: it is.
    """
    looking = Looking(secret=invite.secret, school=invite.school)
    if _post(connection, authority, LOOK, looking, Standing).state != "invited":
        raise NetworkError(
            "this invite has been used with other keys than those in this folder. If it was you, "
            "join from the folder that you used then; if not, tell the consortium at once. "
            "Nothing was changed."
        )


def _fetch_authority(connection: Connection, invite: Invite) -> bytes:
    """The CA certificate, from a server that is not trusted yet: only its hash decides."""
    url = f"https://{connection.host}:{connection.port}{AUTHORITY.decode()}"
    try:
        with httpx.Client(
            verify=False,  # noqa: S501 - what comes is compared with the invite
            proxy=connection.proxy,
            trust_env=False,
            timeout=_SECONDS,
        ) as client:
            _, content = _answer_to(client, "GET", url)
        shown = authority_digest(content)
    except httpx.HTTPError as error:
        raise _unreachable(connection, error) from error
    except ValueError as error:
        raise NetworkError(
            f"{connection.host}:{connection.port} is no fedtrace consortium: check the address "
            "with whoever sent the invite. Nothing was sent."
        ) from error
    if shown != invite.authority:
        raise NetworkError(
            f"the server at {connection.host}:{connection.port} shows the authority {shown}, the "
            f"invite names {invite.authority}: it is another server, or somebody stands between. "
            "Ask the consortium. Nothing was sent or written."
        )
    return content


def _new(
    home: Path,
    invite: Invite,
    keys: SchoolKeys,
    node_key: Path,
    people: Sequence[Person],
    now: datetime,
) -> Joining:
    request = JoinRequest(
        school=invite.school,
        authority=invite.authority,
        public_key=keys.public_key,
        log_public_key=keys.log_public_key,
        people=tuple(people),
        node_key=" ".join(node_key.read_text("ascii").split()[:2]),
        made_at=now.replace(microsecond=0),
    )
    envelope = sign_join_request(request, [keys.signer, KeySigner(keys.log_key)])
    joining = Joining(invite=invite, request=envelope.decode("ascii"))
    write_private(home / "network" / JOINING_FILE, joining.model_dump_json().encode(), replace=True)
    return joining


def _post(
    connection: Connection,
    authority: bytes,
    route: bytes,
    message: BaseModel,
    answer_type: type[Message],
) -> Message:
    url = f"https://{connection.host}:{connection.port}{route.decode()}"
    try:
        with httpx.Client(
            verify=client_context_of(authority),
            proxy=connection.proxy,
            trust_env=False,
            timeout=_SECONDS,
        ) as client:
            status, content = _answer_to(client, "POST", url, message.model_dump_json())
        if status != httpx.codes.OK:
            said = Failing.model_validate_json(content).error
            kind = UnreachableError if httpx.codes.is_server_error(status) else NetworkError
            raise kind(f"{connection.host}:{connection.port} answers: {said}")
        return answer_type.model_validate_json(content)
    except httpx.HTTPError as error:
        raise _unreachable(connection, error) from error
    except ValidationError as error:
        raise NetworkError(
            f"{connection.host}:{connection.port} gave an answer that is none of fedtrace "
            f"(status {status}): is there a proxy between? Try --proxy."
        ) from error


def _answer_to(
    client: httpx.Client, method: str, url: str, content: str | None = None
) -> tuple[int, bytes]:
    """Status and body; a body without an end is cut off, and is then none of ours."""
    headers = {} if content is None else {"content-type": "application/json"}
    with client.stream(method, url, content=content, headers=headers) as answer:
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > _LARGEST_ANSWER:
                break
        return answer.status_code, bytes(body)


def _unreachable(connection: Connection, error: httpx.HTTPError) -> UnreachableError:
    if isinstance(error, httpx.ProxyError):
        sentence = proxy_refusal(connection, error)
        return UnreachableError(f"{sentence}. Nothing is lost: run the command again.")
    through = " through the proxy" if connection.proxy else ""
    return UnreachableError(
        f"{connection.host}:{connection.port} does not answer{through} ({error}). Check the "
        "address, and that the firewall lets this machine connect out to it; a school behind a "
        "proxy needs --proxy. Nothing is lost: run the command again."
    )
