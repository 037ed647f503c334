"""A server accounts and evaluates without loading torch."""

from __future__ import annotations

import subprocess
import sys


def test_accounting_noise_and_histograms_do_not_load_torch() -> None:
    program = (
        "import sys; import fedtrace.privacy.accounting, fedtrace.privacy.histograms; "
        "print('torch' in sys.modules, 'opacus' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["False", "False"]
