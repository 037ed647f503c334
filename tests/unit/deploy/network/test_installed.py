"""The digest of the code that is installed, and where a person sees it."""

from pathlib import Path

from fedtrace.client.bundle import fab_digest
from fedtrace.deploy.network.doctor import examine
from fedtrace.deploy.network.installed import code_digest, digest_of_folders


def test_every_byte_and_every_name_counts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_bytes(b"x = 1\n")
    digests = [digest_of_folders({"a": tmp_path / "a"})]
    (tmp_path / "a" / "one.py").write_bytes(b"x = 2\n")
    digests.append(digest_of_folders({"a": tmp_path / "a"}))
    (tmp_path / "a" / "one.py").rename(tmp_path / "a" / "two.py")
    digests.append(digest_of_folders({"a": tmp_path / "a"}))
    assert len(set(digests)) == 3
    (tmp_path / "a" / "two.pyc").write_bytes(b"made while running")
    assert digest_of_folders({"a": tmp_path / "a"}) == digests[-1]


def test_the_doctor_shows_it_beside_the_digest_that_plans_name(tmp_path: Path) -> None:
    (check,) = (check for check in examine(tmp_path) if check.name == "code")
    assert check.status == "PASS"
    assert code_digest() in check.sentence
    assert fab_digest() in check.sentence
