"""``fedtrace school join`` with people: what is no person is said before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.town import Run, one_sentence


@pytest.mark.parametrize("person", ["it", "principal=" + "B" * 42 + "A=", "it=notakey", "=", "it="])
def test_what_is_no_person(run: Run, tmp_path: Path, person: str) -> None:
    home = tmp_path / "school"
    result = run("school", "join", "fedtrace-invite-x", "--home", home, "--person", person)
    assert result.exit_code == 2
    sentence = one_sentence(result)
    assert f"{person!r} is not ROLE=KEY" in sentence
    assert "privacy_officer, it, leadership" in sentence
    assert not home.exists()
