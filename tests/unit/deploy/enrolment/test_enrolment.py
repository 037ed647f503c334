"""Invites, requests and the consortium's desk: who can ask, how often, what a stranger learns."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedtrace.client.home import open_school
from fedtrace.client.keys import create_keys, load_keys
from fedtrace.deploy.enrolment.charter_draft import draft_charter
from fedtrace.deploy.enrolment.desk import Desk, EnrolmentError
from fedtrace.deploy.enrolment.founding import charter_members, found, require_name
from fedtrace.deploy.enrolment.invites import Invite, read_invite
from fedtrace.deploy.enrolment.joining import become_member, charters_in
from fedtrace.deploy.enrolment.policies import (
    careful_policy,
    place_policy,
    placed_policy,
    require_policy_of,
)
from fedtrace.deploy.enrolment.routes import (
    ASK,
    AUTHORITY,
    LOOK,
    EnrolmentRoutes,
    Standing,
    authority_digest,
)
from fedtrace.deploy.network.address import Address, address_from, read_address, write_address
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.provisioning import provision_node, provision_server
from fedtrace.governance.agreement import add_agreement
from fedtrace.governance.charter import Charter, Person, Role
from fedtrace.governance.joining import (
    JoinRequest,
    open_join_request,
    sign_join_request,
    spoken_fingerprint,
)
from fedtrace.governance.policy import load_policy_toml
from fedtrace.governance.signing import KeySigner, SignatureError, add_signature, generate_key
from fedtrace.server.charters import adopt_charter
from fedtrace.server.consortium import open_consortium

NOW = datetime(2026, 9, 1, 8, tzinfo=UTC)
VALID = timedelta(days=14)


@dataclass(frozen=True)
class Applicant:
    """One school's keys, and the request that it makes with them."""

    request: JoinRequest
    envelope: bytes


@dataclass(frozen=True)
class Server:
    """A consortium's home before it has a charter."""

    home: Path
    desk: Desk
    address: Address
    ca_certificate: bytes
    authority: str

    def invite(self, school: str, *, now: datetime = NOW) -> Invite:
        return self.desk.invite(
            school, self.address, authority=self.authority, now=now, valid=VALID
        )

    def ask(self, applicant: Applicant, secret: str, *, now: datetime = NOW) -> str:
        return self.desk.ask(applicant.envelope, secret, authority=self.authority, now=now).state

    def post(self, route: bytes, message: object) -> tuple[int, Any]:
        routes = EnrolmentRoutes(self.home, self.ca_certificate, lambda: NOW)
        answer = routes.answer("POST", route, json.dumps(message).encode())
        assert answer is not None
        return answer.status, json.loads(answer.content)


@pytest.fixture(scope="module")
def made_server(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    directory = tmp_path_factory.mktemp("ca")
    identity = provision_server(directory, hosts=["fed.example"], now=NOW)
    pem = identity.ca_certificate.read_bytes()
    return pem, authority_digest(pem)


@pytest.fixture
def server(tmp_path: Path, made_server: tuple[bytes, str]) -> Server:
    pem, authority = made_server
    address = Address(consortium="west", hosts=("fed.example",), port=443)
    home = tmp_path / "consortium"
    home.mkdir()
    write_address(home, address)
    return Server(home, Desk(home), address, pem, authority)


def applicant(
    directory: Path, authority: str, school: str = "north", people: tuple[Person, ...] = ()
) -> Applicant:
    keys = create_keys(directory / "keys")
    node = provision_node(directory / "network")
    request = JoinRequest(
        school=school,
        authority=authority,
        public_key=keys.public_key,
        log_public_key=keys.log_public_key,
        people=people,
        node_key=" ".join(node.public_key.read_text().split()[:2]),
        made_at=NOW,
    )
    signers = [keys.signer, KeySigner(keys.log_key)]
    return Applicant(request, sign_join_request(request, signers))


@pytest.fixture
def north(tmp_path: Path, server: Server) -> Applicant:
    return applicant(tmp_path / "north", server.authority)


def test_an_invite_survives_the_mail(server: Server) -> None:
    invite = server.invite("north")
    line = invite.to_line()
    wrapped = "\n  ".join(line[i : i + 70] for i in range(0, len(line), 70)) + "\r\n"
    assert read_invite(wrapped, now=NOW) == invite
    assert invite.secret not in repr(invite) + str(invite)
    assert invite.expires_at == NOW + VALID


def test_an_invite_of_a_newer_version_says_what_to_upgrade(server: Server) -> None:
    newer = server.invite("north").model_copy(update={"format": "fedtrace-invite/2"})
    with pytest.raises(ValueError, match=r"of a newer fedtrace.*: upgrade fedtrace here"):
        read_invite(newer.to_line(), now=NOW)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:-1],
        lambda line: line[:40] + line[41:],
        lambda line: line[:50] + ("A" if line[50] != "A" else "B") + line[51:],
        lambda line: line + "A" * 5000,
        lambda line: "fedtrace-invite-",
        lambda line: "fedtrace-invite-é",
    ],
)
def test_an_invite_that_was_changed_on_its_way(server: Server, damage: Any) -> None:
    line = server.invite("north").to_line()
    with pytest.raises(ValueError, match="copy the whole line again"):
        read_invite(damage(line), now=NOW)


def test_an_invite_that_expired_says_both_clocks(server: Server) -> None:
    line = server.invite("north").to_line()
    with pytest.raises(ValueError, match=r"expired at 2026-09-15 08:00.*clock says 2026-09-15"):
        read_invite(line, now=NOW + VALID)
    with pytest.raises(ValueError, match="starts with fedtrace-invite-"):
        read_invite("https://fed.example", now=NOW)


def test_an_invite_is_bound_to_the_first_keys(
    server: Server, north: Applicant, tmp_path: Path
) -> None:
    secret = server.invite("north").secret
    assert server.ask(north, secret) == "asked"
    assert server.ask(north, secret) == "asked"  # the answer was lost on its way
    other = applicant(tmp_path / "other", server.authority)
    with pytest.raises(EnrolmentError, match="used with other keys"):
        server.ask(other, secret)
    with pytest.raises(EnrolmentError, match="has asked already"):
        server.invite("north")


def test_of_two_that_ask_at_once_one_is_taken(server: Server, tmp_path: Path) -> None:
    secret = server.invite("north").secret
    people = [applicant(tmp_path / str(i), server.authority) for i in range(4)]
    taken: list[JoinRequest] = []

    def ask(person: Applicant) -> None:
        try:
            server.ask(person, secret)
        except EnrolmentError:
            return
        taken.append(person.request)

    threads = [threading.Thread(target=ask, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.opened() for one in server.desk.all()] == taken


def test_who_cannot_ask(server: Server, north: Applicant, tmp_path: Path) -> None:
    first = server.invite("north")
    secret = server.invite("north").secret  # the first one is void now
    for wrong in (first.secret, "0" * 64):
        with pytest.raises(EnrolmentError, match="does not know this invite"):
            server.ask(north, wrong)
    with pytest.raises(EnrolmentError, match="does not know this invite"):
        server.ask(applicant(tmp_path / "south", server.authority, "south"), secret)
    with pytest.raises(EnrolmentError, match="expired"):
        server.ask(north, secret, now=NOW + VALID)
    elsewhere = applicant(tmp_path / "elsewhere", "sha256:" + "0" * 64)
    with pytest.raises(EnrolmentError, match="another consortium"):
        server.ask(elsewhere, secret)
    assert [one.state for one in server.desk.all()] == ["invited"]


def test_a_request_is_signed_by_each_of_its_keys(north: Applicant, tmp_path: Path) -> None:
    assert open_join_request(north.envelope) == north.request
    stolen = north.request.model_copy(update={"public_key": generate_key().public_key})
    keys = create_keys(tmp_path / "mine")
    mine = north.request.model_copy(update={"public_key": keys.public_key})
    for request in (stolen, mine):
        envelope = sign_join_request(request, [keys.signer])
        with pytest.raises(SignatureError, match="of the 2 signatures"):
            open_join_request(envelope)
    envelope = json.loads(north.envelope)
    envelope["signatures"] = envelope["signatures"][:1]
    with pytest.raises(SignatureError):
        open_join_request(json.dumps(envelope).encode())
    strangers = add_signature(north.envelope, JoinRequest.payload_type, generate_key())
    assert open_join_request(strangers) == north.request


def test_a_person_approves_what_was_read_out(server: Server, north: Applicant) -> None:
    secret = server.invite("north").secret
    with pytest.raises(EnrolmentError, match="has not asked"):
        server.desk.approve("north", north.request.fingerprint())
    server.ask(north, secret)
    with pytest.raises(EnrolmentError, match="another fingerprint"):
        server.desk.approve("north", spoken_fingerprint(b"another request"))
    spoken = f" {north.request.fingerprint().upper()} "
    assert server.desk.approve("north", spoken) == north.request
    assert server.desk.look("north", secret).state == "approved"
    server.desk.revoke("north")
    with pytest.raises(EnrolmentError, match="does not know this invite"):
        server.desk.look("north", secret)
    with pytest.raises(EnrolmentError, match="has not asked"):
        server.desk.approve("north", spoken)
    assert server.invite("north").school == "north"


@pytest.mark.parametrize("name", ["../ca", "a b", "", "x" * 65, ".lock"])
def test_a_name_that_is_no_file_name(server: Server, name: str) -> None:
    for act in (
        lambda: server.invite(name),
        lambda: server.desk.look(name, "0" * 64),
        lambda: server.desk.approve(name, "a"),
        lambda: server.desk.revoke(name),
    ):
        with pytest.raises(EnrolmentError, match="cannot be a school's name"):
            act()


def test_a_damaged_file_is_named(server: Server) -> None:
    server.invite("north")
    path = server.home / "network" / "enrolment" / "north.json"
    path.write_text("{")
    with pytest.raises(NetworkError, match=r"north\.json is damaged: remove it and invite"):
        server.desk.all()


def test_the_charter_names_the_approved(server: Server, north: Applicant, tmp_path: Path) -> None:
    south = applicant(tmp_path / "south", server.authority, "south")
    secrets = {name: server.invite(name).secret for name in ("north", "south")}
    with pytest.raises(EnrolmentError, match="no school is approved"):
        found(server.home, threshold=None, witness_quorum=None, now=NOW)
    for one in (north, south):
        server.ask(one, secrets[one.request.school])
    with pytest.raises(EnrolmentError, match="north, south asked to join and wait"):
        found(server.home, threshold=None, witness_quorum=None, now=NOW)
    server.desk.approve("north", north.request.fingerprint())
    looking = {"secret": secrets["north"], "school": "north"}
    assert server.post(LOOK, looking) == (200, {"state": "approved"})
    server.desk.revoke("south")
    charter = found(server.home, threshold=None, witness_quorum=None, now=NOW)
    assert charter_members(server.home) == {"north": north.request.log_public_key}
    status, standing = server.post(LOOK, looking)
    assert (status, standing["state"]) == (200, "approved")
    assert [Charter.from_bytes(each.encode()) for each in standing["charters"]] == [charter]
    with pytest.raises(FileExistsError):
        found(server.home, threshold=None, witness_quorum=None, now=NOW)
    require_name(server.home, "west")
    with pytest.raises(ValueError, match="its name stays"):
        require_name(server.home, "east")


def test_the_charter_names_the_people_that_a_school_asked_with(
    server: Server, tmp_path: Path
) -> None:
    roles: tuple[Role, ...] = ("privacy_officer", "it")
    people = tuple(Person(role=role, public_key=generate_key().public_key) for role in roles)
    north = applicant(tmp_path / "north", server.authority, people=people)
    server.ask(north, server.invite("north").secret)
    server.desk.approve("north", north.request.fingerprint())
    with pytest.raises(ValueError, match="north has keys of 2 people, 3 must sign"):
        found(server.home, threshold=None, people_per_member=3, witness_quorum=None, now=NOW)
    assert not (server.home / "charter.json").exists()
    charter = found(server.home, threshold=None, people_per_member=2, witness_quorum=None, now=NOW)
    assert charter.members[0].people == people
    assert charter.people_per_member == 2


def test_a_school_that_comes_later_gets_every_version(server: Server, tmp_path: Path) -> None:
    north = applicant(tmp_path / "north", server.authority)
    server.ask(north, server.invite("north").secret)
    server.desk.approve("north", north.request.fingerprint())
    found(server.home, threshold=None, witness_quorum=None, now=NOW)
    south = applicant(tmp_path / "south", server.authority, "south")
    secret = server.invite("south").secret
    server.ask(south, secret)
    server.desk.approve("south", south.request.fingerprint())
    looking = {"secret": secret, "school": "south"}
    assert server.post(LOOK, looking) == (200, {"state": "approved"})

    drafted = draft_charter(server.home)
    joined, witnesses = drafted.changes
    assert joined.startswith("south becomes a member; for it its machine can sign; its machine has")
    assert witnesses == "members that must have cosigned the log: 2, the usual number, instead of 1"
    signer = load_keys(tmp_path / "north" / "keys").signer
    envelope = add_agreement(None, drafted.charter, signer)
    with closing(open_consortium(server.home)) as consortium:
        adopt_charter(consortium, envelope, now=NOW)
    standing = Standing.model_validate_json(json.dumps(server.post(LOOK, looking)[1]))
    charters = charters_in(standing)
    assert charters is not None
    assert [each.version for each in charters.versions] == [1, 2]
    policy = load_policy_toml(careful_policy("south"))
    become_member(tmp_path / "south", charters, policy, now=NOW)
    with open_school(tmp_path / "south") as school:
        assert school.rules.charter == charters.current
    server.desk.revoke("north")
    assert draft_charter(server.home).changes == (
        "north is a member no more: what it signed does not count from then on",
        "members that must have cosigned the log: 1, the usual number, instead of 2 (FEWER)",
    )
    assert standing.charters is not None
    for shown in ((), ("{}",), standing.charters[1:], (*standing.charters, "x")):
        with pytest.raises(NetworkError, match="cannot be followed"):
            charters_in(Standing(state="approved", charters=shown))


def test_the_charter_goes_to_nobody_with_other_keys(
    server: Server, north: Applicant, tmp_path: Path
) -> None:
    """A member that was revoked, invited and approved again with new keys is not in the charter."""
    server.ask(north, server.invite("north").secret)
    server.desk.approve("north", north.request.fingerprint())
    found(server.home, threshold=None, witness_quorum=None, now=NOW)
    server.desk.revoke("north")
    again = applicant(tmp_path / "again", server.authority)
    secret = server.invite("north").secret
    server.ask(again, secret)
    server.desk.approve("north", again.request.fingerprint())
    looking = {"secret": secret, "school": "north"}
    assert server.post(LOOK, looking) == (200, {"state": "approved"})


def test_the_routes(server: Server, north: Applicant) -> None:
    secret = server.invite("north").secret
    asking = {"secret": secret, "request": north.envelope.decode()}
    assert server.post(ASK, asking) == (200, {"state": "asked"})
    assert server.post(LOOK, {"secret": secret, "school": "north"}) == (200, {"state": "asked"})
    routes = EnrolmentRoutes(server.home, server.ca_certificate, lambda: NOW)
    shown = routes.answer("GET", AUTHORITY, b"")
    assert shown is not None
    assert (shown.status, shown.content) == (200, server.ca_certificate)
    for method, path in (
        ("GET", ASK),
        ("POST", AUTHORITY),
        ("PUT", LOOK),
        ("POST", ASK + b"/"),
        ("GET", b"/v1/enrolment/"),
        ("GET", b"/v1/enrolment/../../charter.json"),
    ):
        assert routes.answer(method, path, b"{}") is None


def test_a_stranger_learns_nothing_from_the_routes(server: Server) -> None:
    server.invite("north")
    answers = [
        server.post(LOOK, {"secret": "0" * 64, "school": school}) for school in ("north", "nobody")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"secret": "0" * 64},
        {"secret": "0" * 63, "request": "{}"},
        {"secret": "0" * 64, "request": "{}"},
        {"secret": "0" * 64, "request": "[" * 10_000},
        {"secret": "0" * 64, "request": "é"},
        {"secret": "0" * 64, "request": "{}", "more": 1},
    ],
)
def test_what_is_no_request(server: Server, message: object) -> None:
    status, answer = server.post(ASK, message)
    assert (status, answer) == (400, {"error": "this is not a join request"})


def test_a_disk_that_cannot_be_written_is_no_loss(
    server: Server, north: Applicant, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = server.invite("north").secret

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fedtrace.deploy.enrolment.desk.write_private", full)
        status, answer = server.post(ASK, {"secret": secret, "request": north.envelope.decode()})
    assert status == 503
    assert "try again later" in answer["error"]
    assert server.ask(north, secret) == "asked"


def test_an_address_that_is_none() -> None:
    with pytest.raises(ValueError, match="cannot be a consortium's name"):
        address_from("the west", ("fed.example",), port=443, listen="127.0.0.1")
    with pytest.raises(ValueError, match="a host is a name or an IP address"):
        address_from("west", ("fed example",), port=443, listen="127.0.0.1")


def test_a_home_without_an_address_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="fedtrace consortium init"):
        read_address(tmp_path)
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "address.json").write_text("{}")
    with pytest.raises(NetworkError, match="is damaged"):
        read_address(tmp_path)


def test_a_school_starts_with_a_careful_policy_that_it_may_edit(tmp_path: Path) -> None:
    text = careful_policy("north")
    policy = load_policy_toml(text)
    assert policy.school == "north"
    assert policy.privacy.max_epsilon_job <= 2
    path = place_policy(tmp_path, text, replace=False)
    path.write_text(text.replace("min_students = 10", "min_students = 25"))
    place_policy(tmp_path, text, replace=False)
    assert placed_policy(tmp_path).min_students == 25
    with pytest.raises(ValueError, match="policy of north; the invite is for south"):
        require_policy_of("south", policy)
    path.write_text("school = 1")
    with pytest.raises(ValueError, match=r"policy\.toml"):
        placed_policy(tmp_path)
