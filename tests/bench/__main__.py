"""Runs the benchmarks, prints a table and writes ``build/bench.json``.

``make bench`` runs all of them; ``make bench ONLY=dp_step`` runs ``bench_dp_step.py`` and keeps
the other numbers that the file already holds.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from support.measurement import Measurement

FOLDER = Path(__file__).resolve().parent
RESULT = FOLDER.parent.parent / "build" / "bench.json"


def names() -> list[str]:
    """Every benchmark, by the name that ``ONLY`` takes."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def measure(name: str) -> list[Measurement]:
    """Run one benchmark.

    Raises:
        ValueError: ``bench_<name>.py`` does not return measurements.
    """
    found = importlib.import_module(f"bench.bench_{name}").run()
    if not found or not all(isinstance(each, Measurement) for each in found):
        raise ValueError(f"bench_{name}.run() returned no measurements")
    return list(found)


def save(measurements: Sequence[Measurement], path: Path) -> None:
    """Put ``measurements`` into the JSON file at ``path``, over those of the same name."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    for each in measurements:
        entry = asdict(each)
        kept[entry.pop("name")] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(path.name + ".tmp")
    staged.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    staged.replace(path)


def table(measurements: Sequence[Measurement]) -> Table:
    """The measurements for a terminal."""
    shown = Table(box=None, header_style="bold")
    shown.add_column("what", overflow="fold")
    for column in ("value", "spread"):
        shown.add_column(column, justify="right")
    shown.add_column("unit")
    shown.add_column("ratio", justify="right")
    shown.add_column("to", overflow="fold")
    for each in measurements:
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        row = (f"{each.value:.4g}", f"{each.spread:.2g}", each.unit, ratio, each.baseline or "")
        shown.add_row(each.name, *row)
    return shown


def main(wanted: Sequence[str]) -> int:
    """Run the wanted benchmarks, or all; each one's numbers are saved before the next starts."""
    console = Console()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        console.print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")
        return 2
    for name in wanted or names():
        console.print(f"[bold]{name}[/bold]: running")
        measurements = measure(name)
        save(measurements, RESULT)
        console.print(table(measurements))
    console.print(f"written to build/{RESULT.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
