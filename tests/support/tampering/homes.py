"""Who is there, and under which charter."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.logs import (
    charter_of,
    write_lines,
)
from support.tampering.tools import Tampering, log_of


def another_charter_everywhere(demo: Path) -> None:
    charter = charter_of(["school-1", "school-2", "school-3"], threshold=1).to_bytes()
    for path in demo.rglob("charter.json"):
        path.write_bytes(charter)


def another_charter_in_one_home(demo: Path) -> None:
    charter = charter_of(["school-1", "school-2", "school-3"], threshold=1).to_bytes()
    (demo / "schools" / "school-1" / "charter.json").write_bytes(charter)


def the_log_of_a_stranger(demo: Path) -> None:
    home = demo / "schools" / "school-9"
    shutil.copytree(demo / "schools" / "school-1", home)
    write_lines(home / "log", [], "county/schools/school-9")


def one_log_in_two_places(demo: Path) -> None:
    shutil.copytree(demo / "schools" / "school-1", demo / "schools" / "copy")


def a_school_in_the_consortiums_place(demo: Path) -> None:
    shutil.rmtree(log_of(demo))
    shutil.move(log_of(demo, "school-1"), log_of(demo))
    shutil.rmtree(demo / "schools" / "school-1")


def a_member_left_out(demo: Path) -> None:
    shutil.rmtree(demo / "schools" / "school-3")


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=another_charter_everywhere, fails=("charter",)),
    Tampering(act=another_charter_in_one_home, fails=("input",)),
    Tampering(act=the_log_of_a_stranger, fails=("checkpoint.origin",)),
    Tampering(act=one_log_in_two_places, fails=("members",)),
    Tampering(act=a_school_in_the_consortiums_place, fails=("members",)),
    Tampering(act=a_member_left_out, warns=("members",)),
)
