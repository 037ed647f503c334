"""Options that several commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedtrace.deploy.simulation.answers import Columns


class ModelChoice(StrEnum):
    """The architectures that a plan can name."""

    DKT = "dkt"
    PFA = "pfa"
    SHARED_LOGISTIC = "shared-logistic"
    SHARED_LOGISTIC_2 = "shared-logistic-2"
    RESIDUAL_DKT = "residual-dkt"


class TrustChoice(StrEnum):
    """Who adds the noise: every school all of it, or each a share under secure sum."""

    LOCAL = "local"
    DISTRIBUTED = "distributed"


class Engine(StrEnum):
    """Where a simulation computes the schools' answers."""

    IN_PROCESS = "in-process"
    RAY = "ray"


Trust = Annotated[
    TrustChoice,
    typer.Option(
        help="Who adds the noise: each school all of it, or each a share under secure sum."
    ),
]
SchoolColumn = Annotated[
    str | None, typer.Option("--school-column", help="The column that names the school.")
]
StudentColumn = Annotated[str, typer.Option("--student-column", help="The student's number.")]
SkillColumn = Annotated[str, typer.Option("--skill-column", help="The skill that was practised.")]
ItemColumn = Annotated[
    str | None,
    typer.Option("--item-column", help="Takes the place of the skill where the table has none."),
]
OrderColumn = Annotated[str, typer.Option("--order-column", help="Sorts a student's answers.")]
CorrectColumn = Annotated[str, typer.Option("--correct-column", help="The answer: 0 or 1.")]
Epsilon = Annotated[
    float,
    typer.Option(
        "--epsilon", min=0.01, max=1000, help="Of the whole job for one student, at delta 1e-5."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Of the split and the initial model; never of noise.")
]
Home = Annotated[Path, typer.Option("--home", help="The school's home folder.")]
ConsortiumHome = Annotated[Path, typer.Option("--home", help="The consortium's home folder.")]
Student = Annotated[
    str, typer.Argument(help="The school's own number, as in the export.", metavar="STUDENT")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="A new folder for everything that is made; a free name if absent."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]


def free_folder(name: str) -> Path:
    """``name`` in the working directory, or ``name-2``, ``name-3``, ... where it is taken."""
    number = 1
    while (folder := Path(name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def new_folder(out: Path | None, name: str) -> Path:
    """The folder that the person asked for, or a free one.

    Raises:
        ValueError: there is something at that path already.
    """
    if out is None:
        return free_folder(name)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(
            f"{out} is there already and is not an empty folder: choose another --out."
        )
    return out


def table_columns(
    *,
    path: Path,
    school: str | None,
    student: str,
    skill: str,
    item: str | None,
    order: str,
    correct: str,
) -> Columns:
    """The columns of a table of answers.

    Raises:
        ValueError: the school's column was not named.
        OSError: the table cannot be read.
    """
    from fedtrace.deploy.simulation.answers import Columns

    if school is None:
        raise ValueError(f"which column of {path} names the school? Add --school-column NAME.")
    return Columns(
        school=school, student=student, skill=skill, item=item, order=order, correct=correct
    )
