"""A witness over HTTP: what C2SP's tlog-witness says, durable, and one history whoever asks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from support.logs import key_of, public
from support.witnesses import ORIGIN, SEEN_AT, note_of, tree_of

from fedtrace.deploy.network.errors import PortInUseError
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.witness import WitnessHome, alone, create_home, open_home, witness_service
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.cosignature import cosignatures
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.witness import SIZE_TYPE, AddCheckpoint, Witness

NAME = "archive.example.org"
TREE = tree_of(12)
FORK = MerkleTree(leaf_hash(b"other %d" % number) for number in range(12))


@pytest.fixture
def home(tmp_path: Path) -> WitnessHome:
    return create_home(tmp_path / "witness", name=NAME)


@pytest.fixture
def address(home: WitnessHome) -> Iterator[str]:
    (port,) = free_ports(1)
    with serving(home, port):
        yield f"http://127.0.0.1:{port}"


def serving(home: WitnessHome, port: int) -> AbstractContextManager[None]:
    logs = {ORIGIN: public(key_of(ORIGIN))}
    witness = Witness(home, logs=logs, cosigners=home.cosigners)
    return witness_service("127.0.0.1", port, witness, now=lambda: SEEN_AT)


def request(old: int, new: int, tree: MerkleTree = TREE) -> bytes:
    proof = tuple(tree.consistency_proof(old, new)) if old else ()
    return AddCheckpoint(old=old, proof=proof, note=note_of(tree, size=new)).to_bytes()


def ask(address: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{address}/add-checkpoint", content=body)


def test_a_log_is_cosigned_by_both_keys_and_followed(home: WitnessHome, address: str) -> None:
    answer = ask(address, request(0, 5))
    assert answer.status_code == 200
    note = note_of(TREE, size=5) + answer.content
    found = cosignatures(note, [each.verifier for each in home.cosigners])
    assert list(found) == [NAME]
    assert len(answer.text.splitlines()) == 2
    behind = ask(address, request(0, 7))
    assert (behind.status_code, behind.content) == (409, b"5\n")
    assert behind.headers["content-type"] == SIZE_TYPE
    assert ask(address, request(5, 12)).status_code == 200
    again = open_home(home.directory)
    latest = again.latest(ORIGIN)
    assert latest is not None
    assert latest.size == 12
    assert again.cosigners[0].verifier == home.cosigners[0].verifier
    assert again.cosigners[1].verifier == home.cosigners[1].verifier


def test_another_history_is_not_cosigned_and_its_proof_is_kept(
    home: WitnessHome, address: str
) -> None:
    assert ask(address, request(0, 5)).status_code == 200
    assert ask(address, request(5, 5, FORK)).status_code == 409
    assert ask(address, request(5, 9, FORK)).status_code == 422
    kept = {path.read_bytes() for path in (home.directory / "evidence").iterdir()}
    assert kept == {note_of(TREE, size=5), note_of(FORK, size=5)}


def test_one_history_whoever_asks_first(address: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        bodies = [request(0, 5, tree) for tree in (TREE, FORK) * 8]
        codes = [answer.status_code for answer in pool.map(lambda b: ask(address, b), bodies)]
    assert codes.count(200) == 1
    assert set(codes) == {200, 409}


def test_what_is_no_request(address: str) -> None:
    assert ask(address, b"nonsense").status_code == 400
    assert httpx.get(address).status_code == 404
    assert httpx.post(f"{address}/other", content=b"").status_code == 404
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as stream:
        stream.sendall(b"POST /add-checkpoint HTTP/1.1\r\ncontent-length: 999999999\r\n\r\n")
        assert stream.recv(100).startswith(b"HTTP/1.0 400")


def test_a_damaged_folder_cosigns_nothing(home: WitnessHome, address: str) -> None:
    assert ask(address, request(0, 5)).status_code == 200
    (stored,) = (home.directory / "logs").iterdir()
    stored.write_bytes(b"torn")
    assert ask(address, request(5, 12)).status_code == 500
    with pytest.raises(Corrupt, match="is no checkpoint"):
        home.latest(ORIGIN)


def test_a_witness_is_made_once_and_answers_once(home: WitnessHome) -> None:
    with pytest.raises(FileExistsError):
        create_home(home.directory, name="somebody.else")
    with alone(home), pytest.raises(BlockingIOError, match="another process"), alone(home):
        pass
    (port,) = free_ports(1)
    with serving(home, port), pytest.raises(PortInUseError), serving(home, port):
        pass
    (home.directory / "keys" / "witness.pem").chmod(0o644)
    with pytest.raises(PermissionError):
        open_home(home.directory)
