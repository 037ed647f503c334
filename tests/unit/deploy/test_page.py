"""The verifier's page is one file that allows its own script and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from typer.testing import CliRunner

from fedtrace.deploy.cli.main import app


def test_the_page_is_one_file_and_its_rules_name_its_own_script_and_style(tmp_path: Path) -> None:
    out = tmp_path / "check.html"
    result = CliRunner().invoke(app, ["audit", "page", "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        told = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{told}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")
    assert not re.search(r"(?:src|href)=|https?://|@import|url\(|\{\{ \w+ \}\}", page)
