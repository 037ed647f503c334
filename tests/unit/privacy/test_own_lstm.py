"""The loop in the documents runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from support.tree import text


def test_the_documented_loop_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", text(Path("docs/own-lstm.md")), re.DOTALL)
    names: dict[str, object] = {"__name__": "documented"}
    exec(compile(program, "docs/own-lstm.md", "exec"), names)
    assert re.fullmatch(
        r"epsilon \d\.\d\d at delta 1e-5, unit: one student\n", capsys.readouterr().out
    )
    module = names["module"]
    assert isinstance(module, torch.nn.Module)
    assert all(parameter.isfinite().all() for parameter in module.parameters())
