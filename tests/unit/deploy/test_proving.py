"""Proofs, exports and policies from logs as they lie on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.logs import encode, key_of, tell_story
from support.tampering.files import one_bit_of_a_schools_entry
from support.tampering.witnesses import two_histories_proven
from support.witnesses import SEEN_AT

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.proving import POLICY, check_proof, export_logs, prove_entry
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.cosignature import Ed25519Cosigner, cosigned
from fedtrace.governance.log.entries import PlanRevoked
from fedtrace.governance.log.note import parse_note
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three schools, two of which have cosigned the consortium's log."""
    root = tell_story().write(tmp_path_factory.mktemp("demo"))
    log = root / "consortium" / "log"
    note = (log / CHECKPOINT).read_bytes()
    names = ["county/schools/school-1", "county/schools/school-3"]
    lines = [
        Ed25519Cosigner(name, key_of(name)).cosign(parse_note(note)[0], now=SEEN_AT)
        for name in names
    ]
    (log / COSIGNED).write_bytes(cosigned(note, lines))
    return root


def statuses(proof: Path, trust: Path) -> list[tuple[str, str]]:
    return [(line.status, line.check) for line in check_proof(proof, trust)]


def proof_of(home: Path, index: int, to: Path) -> Path:
    target = to / "entry.tlog-proof"
    target.write_bytes(prove_entry(home, index).to_bytes())
    return target


WITNESSED = [("PASS", "proof.inclusion"), ("PASS", "proof.witnesses")]


@pytest.mark.parametrize("index", [0, 7, 19])
def test_a_proof_is_checked_without_its_log(demo: Path, tmp_path: Path, index: int) -> None:
    proof = proof_of(demo / "consortium", index, tmp_path)
    assert statuses(proof, demo / "schools/school-2/charter.json") == WITNESSED
    lines = check_proof(proof, demo / "consortium/charter.json")
    assert f"Entry {index} of county/log is" in lines[0].sentence
    assert "2 of 3 witnesses" in lines[1].sentence
    assert "more than 0 of them lie" in lines[1].sentence


def test_nobody_witnesses_a_schools_own_log(demo: Path, tmp_path: Path) -> None:
    proof = proof_of(demo / "schools/school-1", 3, tmp_path)
    found = statuses(proof, demo / "consortium/charter.json")
    assert found == [("PASS", "proof.inclusion"), ("WARN", "proof.witnesses")]


def test_an_unwitnessed_consortium_proves_nothing(tmp_path: Path) -> None:
    root = tell_story().write(tmp_path / "demo")
    (root / "consortium" / "log" / COSIGNED).unlink()
    proof = proof_of(root / "consortium", 1, tmp_path)
    assert statuses(proof, root / "consortium/charter.json") == [("FAIL", "checkpoint.quorum")]


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        (b"index 7", b"index 8", "proof.inclusion"),
        (b"@v1", b"@v2", "proof.format"),
        (b"county/log\n20", b"county/log\n21", "checkpoint.signature"),
        (b"\nextra ", b"\nother ", "proof.format"),
    ],
)
def test_a_changed_proof_is_refused(
    demo: Path, tmp_path: Path, old: bytes, new: bytes, check: str
) -> None:
    proof = proof_of(demo / "consortium", 7, tmp_path)
    data = proof.read_bytes()
    assert old in data
    proof.write_bytes(data.replace(old, new))
    assert statuses(proof, demo / "consortium/charter.json") == [("FAIL", check)]


def test_a_proof_without_its_entry_and_one_that_is_not_there(demo: Path, tmp_path: Path) -> None:
    proof = proof_of(demo / "consortium", 7, tmp_path)
    head, _, rest = proof.read_bytes().partition(b"extra ")
    proof.write_bytes(head + rest.partition(b"\n")[2])
    charter = demo / "consortium/charter.json"
    assert statuses(proof, charter) == [("FAIL", "proof.entry")]
    assert statuses(tmp_path / "none", charter) == [("FAIL", "input")]
    assert statuses(proof_of(demo / "consortium", 7, tmp_path), proof) == [("FAIL", "input")]


def test_a_log_has_no_other_entries_and_a_folder_of_logs_no_one_proof(demo: Path) -> None:
    with pytest.raises(ValueError, match="entries 0 to 19; there is no entry 20"):
        prove_entry(demo / "consortium", 20)
    with pytest.raises(ValueError, match="name one home"):
        prove_entry(demo, 0)


def test_an_export_is_the_same_log(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert export_logs(demo / "consortium", copy) == 20
    verdict = verify_path(copy)
    assert (verdict.exit_code, verdict.entries) == (0, 20)
    proof = proof_of(copy, 7, tmp_path)
    assert statuses(proof, copy / POLICY) == WITNESSED
    with pytest.raises(FileExistsError):
        export_logs(demo / "consortium", copy)


def test_a_folder_of_homes_and_a_schools_home_keep_their_folders(
    demo: Path, tmp_path: Path
) -> None:
    demo, whole = shutil.copytree(demo, tmp_path / "demo"), tmp_path / "whole"
    assert export_logs(demo, whole) == 20 + 3 * 9
    assert verify_path(whole).exit_code == 0
    assert [line.check for line in verify_path(whole).lines] == [
        line.check for line in verify_path(demo).lines
    ]
    home, mirror = demo / "schools" / "school-2", demo / "schools" / "school-2" / MIRROR_FOLDER
    mirror.mkdir()
    for name in ("entries.jsonl", "checkpoint"):
        shutil.copy(demo / "consortium" / "log" / name, mirror / name)
    (home / "keys").mkdir()
    (home / "keys" / "school.pem").write_text("a secret")
    bundle = tmp_path / "bundle"
    assert export_logs(home, bundle) == 20 + 9
    checks = {line.check: line.status for line in verify_path(bundle).lines}
    assert {checks["updates.sent"], checks["epsilon.recomputed"], checks["log.mirrors"]} == {"PASS"}
    assert {path.name for path in bundle.iterdir()} == {
        "charter.json",
        MIRROR_FOLDER,
        "log",
        "plans",
    }
    assert not [
        path for path in bundle.rglob("*") if path.is_file() and b"secret" in path.read_bytes()
    ]


def test_evidence_of_a_fork_goes_along(demo: Path, tmp_path: Path) -> None:
    two_histories_proven(demo)
    assert export_logs(demo, tmp_path / "bundle") == 20 + 3 * 9
    failed = [
        line.check for line in verify_path(tmp_path / "bundle").lines if line.status == "FAIL"
    ]
    assert failed == ["log.fork"]


def test_nothing_is_exported_where_one_log_is_not_whole(demo: Path, tmp_path: Path) -> None:
    demo = shutil.copytree(demo, tmp_path / "demo")
    one_bit_of_a_schools_entry(demo)
    with pytest.raises(Corrupt):
        export_logs(demo, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("path", ["tile/0/000.p/20", "tile/entries/000.p/20", "checkpoint"])
def test_a_changed_export_is_noticed(demo: Path, tmp_path: Path, path: str) -> None:
    copy = tmp_path / "copy"
    export_logs(demo / "consortium", copy)
    data = (copy / path).read_bytes()
    (copy / path).write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    assert verify_path(copy).exit_code == 2
    (copy / path).unlink()
    assert verify_path(copy).exit_code == 2


def test_a_log_that_is_not_whole_proves_nothing(tmp_path: Path) -> None:
    root = tell_story().write(tmp_path)
    entries = root / "consortium/log/entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b"adam", b"mada"))
    with pytest.raises(Corrupt, match="it was changed"):
        prove_entry(root / "consortium", 0)


def test_a_cosigned_checkpoint_of_another_history_stops(demo: Path, tmp_path: Path) -> None:
    story = tell_story()
    story.consortium.reverse()
    root = story.write(tmp_path)
    log = root / "consortium" / "log"
    (log / COSIGNED).write_bytes((demo / "consortium/log" / COSIGNED).read_bytes())
    assert len(encode(story.consortium, "county/log")) == 20
    with pytest.raises(Corrupt, match="another history"):
        prove_entry(root / "consortium", 0)


def test_an_export_holds_a_plans_revocation(tmp_path: Path) -> None:
    story = tell_story(rounds=1)
    signers = ("school-1", "school-3")
    revoked = PlanRevoked(plan_digest=story.plan.digest(), signers=signers, reason="mistake")
    story.consortium.append(revoked)
    export_logs(story.write(tmp_path / "all"), tmp_path / "export")
    assert list((tmp_path / "export" / "consortium").glob("plans/*/revocation.dsse.json"))
    signed = next(
        each for each in verify_path(tmp_path / "export").lines if each.check == "plans.signed"
    )
    assert signed.status == "PASS"
