"""The compiled engine gives what torch gives, for every awkward student and instruction set."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.students import made_up_students
from support.tracing import Subject, TracingArchitecture, close

from fedtrace.models.history import ragged_history
from fedtrace.models.interactions import Interactions
from fedtrace.privacy import reference
from fedtrace.privacy.kernel import library
from fedtrace.privacy.kernel.library import (
    InstructionSet,
    instruction_sets,
    kernel_available,
)
from fedtrace.privacy.kernel.tracing import TracingKernel, TracingShape

pytestmark = pytest.mark.skipif(
    not kernel_available(), reason="the compiled engine was not built: no C++ compiler at install"
)

SKILLS = 7
LENGTHS = (1, 3, 9, 0, 2, 7, 7, 20, 2, *range(2, 22))  # several groups, of unequal students
TRACING: tuple[TracingArchitecture, ...] = ("dkt", "residual-dkt")


def subject(
    architecture: TracingArchitecture = "dkt",
    lengths: tuple[int, ...] = LENGTHS,
    **options: Any,
) -> Subject:
    students = made_up_students(lengths, skills=SKILLS)
    return Subject.made_up(students, architecture=architecture, skills=SKILLS, **options)


def looped(given: Subject, clipping_norm: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    gradients = reference.looped_gradients(given.model, given.losses)
    total, norms = reference.clipped_sum(gradients, clipping_norm=clipping_norm)
    return total.numpy(), norms.numpy()


@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize("architecture", TRACING)
@pytest.mark.parametrize(("embedding_size", "hidden_size"), [(4, 5), (16, 8), (33, 21), (1, 1)])
def test_it_is_exact(
    architecture: TracingArchitecture,
    instruction_set: InstructionSet,
    embedding_size: int,
    hidden_size: int,
) -> None:
    """Sizes below, at and beyond whole vectors; all, some and no students clipped."""
    given = subject(architecture, embedding_size=embedding_size, hidden_size=hidden_size)
    gradients = reference.looped_gradients(given.model, given.losses)
    norms = torch.linalg.vector_norm(gradients, dim=1)
    for clipping_norm in (float(norms.max()) / 100, float(norms.median()), 1e6):
        expected, _ = reference.clipped_sum(gradients, clipping_norm=clipping_norm)
        for threads in (1, 3):
            found = given.compiled(clipping_norm, instruction_set=instruction_set, threads=threads)
            assert close(found.norms, norms.numpy(), 1e-12)
            assert close(found.total, expected.numpy(), 1e-12)


@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize("architecture", TRACING)
def test_float32_agrees_with_the_engine_in_torch(
    architecture: TracingArchitecture, instruction_set: InstructionSet
) -> None:
    given = subject(architecture, dtype=torch.float32, embedding_size=24, hidden_size=40)
    ours = given.compiled(0.5, instruction_set=instruction_set)
    theirs = given.in_torch(0.5)
    assert ours.total.dtype == np.float64
    assert close(ours.norms, theirs.norms, 5e-6)
    assert close(ours.total, theirs.total, 2e-5)


@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize("architecture", TRACING)
def test_a_student_moves_a_float32_sum_of_others_by_their_own(
    architecture: TracingArchitecture, instruction_set: InstructionSet
) -> None:
    """The sum does not round, and what others give moves by units of its own last place at most.

    A sum in float32 would round to 3e-8 here, and worse with every student more.
    """
    students = made_up_students((*LENGTHS, *[30, 4] * 40), skills=SKILLS)
    given = Subject.made_up(
        students, architecture=architecture, skills=SKILLS, dtype=torch.float32, hidden_size=9
    )

    def total(chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        few = replace(given, students=students.select(chosen))
        return few.compiled(0.05, instruction_set=instruction_set).total

    everybody = np.arange(len(students))
    whole = total(everybody)
    assert np.abs(whole).max() > 0.5
    for one in (2, 7, 40):
        rest = whole - total(everybody[one : one + 1])
        assert np.abs(rest - total(np.delete(everybody, one))).max() < 2e-8


def test_a_long_student_beside_short_ones() -> None:
    given = subject(lengths=(2, 700, 3), hidden_size=8)
    expected, norms = looped(given, 0.1)
    found = given.compiled(0.1)
    assert close(found.norms, norms, 1e-12)
    assert close(found.total, expected, 1e-12)


def test_steep_networks_saturate_as_in_torch() -> None:
    """Gates far out on the flat ends of their nonlinearities."""
    given = subject()
    with torch.no_grad():
        for parameter in given.model.parameters():
            parameter.mul_(30)
    expected, norms = looped(given, 0.1)
    found = given.compiled(0.1)
    assert close(found.norms, norms, 1e-12)
    assert close(found.total, expected, 1e-12)


def test_a_student_who_repeats_one_skill() -> None:
    students = Interactions.from_students([([3] * 9, [1] * 9), ([3] * 4, [0, 1, 0, 1])])
    given = Subject.made_up(students, skills=SKILLS)
    expected, _ = looped(given, 0.1)
    assert close(given.compiled(0.1).total, expected, 1e-12)


@pytest.mark.parametrize("architecture", TRACING)
@pytest.mark.parametrize("lengths", [(), (1,), (0, 1, 1, 0)])
def test_nobody_with_a_prediction_gives_zeros(
    architecture: TracingArchitecture, lengths: tuple[int, ...]
) -> None:
    found = subject(architecture, lengths).compiled(1.0)
    assert found.norms.shape == (len(lengths),)
    assert not found.norms.any()
    assert len(found.total)
    assert not found.total.any()


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("instruction_set", instruction_sets())
def test_a_poisoned_table_leaves_out_only_who_read_it(
    poison: float, instruction_set: InstructionSet
) -> None:
    given = subject()
    row = 2 * 3 + 1  # right answers on skill 3
    with torch.no_grad():
        given.model.get_parameter("answered.weight")[row] = poison
    read = np.array(
        [
            bool(((2 * skills + correct)[:-1] == row).any())
            for skills, correct in students_of(given.students)
        ]
    )
    assert read.any()
    assert not read.all()
    healthy = subject()
    gradients = reference.looped_gradients(healthy.model, healthy.losses)
    expected, _ = reference.clipped_sum(gradients[torch.from_numpy(~read)], clipping_norm=0.1)
    for threads in (1, 2):
        found = given.compiled(0.1, instruction_set=instruction_set, threads=threads)
        assert not np.isfinite(found.norms[read]).any()
        assert np.isfinite(found.norms[~read]).all()
        assert close(found.total, expected.numpy(), 1e-12)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["memory.weight_ih_l0", "memory.weight_hh_l0"])
def test_a_poisoned_weight_leaves_out_everybody_who_used_it(name: str, poison: float) -> None:
    given = subject(lengths=(2, 3, 9))
    with torch.no_grad():
        given.model.get_parameter(name)[3, 2] = poison
    found = given.compiled(0.1)
    assert np.isfinite(found.total).all()
    used = [True, True, True] if name == "memory.weight_ih_l0" else [False, True, True]
    assert (np.isfinite(found.norms) != used).all()


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_poisoned_feature_leaves_out_its_student(poison: float) -> None:
    given = subject("residual-dkt")
    features = ragged_history(given.students).astype(np.float64)
    victim = 7
    features[given.students.offsets[victim] + 5, 2] = poison
    found = given.compiled(0.1, features=features)
    others = np.arange(len(LENGTHS)) != victim
    gradients = reference.looped_gradients(given.model, given.losses)
    expected, _ = reference.clipped_sum(gradients[torch.from_numpy(others)], clipping_norm=0.1)
    assert not np.isfinite(found.norms[victim])
    assert close(found.total, expected.numpy(), 1e-12)


def test_a_gradient_whose_norm_overflows_is_left_out() -> None:
    given = subject(dtype=torch.float32, lengths=(5, 9))
    with torch.no_grad():
        given.model.get_parameter("asked.weight").mul_(1e30)
    found = given.compiled(0.1)
    assert not np.isfinite(found.norms).any()
    assert not found.total.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_student_never_moves_the_sum_by_more_than_c(dtype: torch.dtype) -> None:
    """In exact arithmetic on what came out: the raised norm pays for the rounding."""
    for length in (2, 3, 50, 200):
        given = subject(lengths=(length,), dtype=dtype, hidden_size=30)
        norm = float(given.compiled(1e6).norms[0])
        for clipping_norm in (norm / 1000, norm / 3, norm * 0.999999, norm):
            total = given.compiled(clipping_norm).total.astype(np.float64)
            assert math.sqrt(math.fsum(total**2)) <= clipping_norm


def test_threads_and_calls_repeat_to_the_bit() -> None:
    given = subject(dtype=torch.float32)
    once, again = given.compiled(0.1, threads=3), given.compiled(0.1, threads=3)
    assert (once.total == again.total).all()
    assert close(given.compiled(0.1, threads=64).total, once.total, 1e-6)


def test_training_without_noise_visits_the_same_points() -> None:
    """The trajectory that Opacus is compared with in test_against_opacus."""
    ours, theirs = subject(), subject()
    for _ in range(6):
        step_ours = ours.compiled(0.2).total
        step_theirs, _ = looped(theirs, 0.2)
        for given, step in ((ours, step_ours), (theirs, step_theirs)):
            with torch.no_grad():
                vector = torch.nn.utils.parameters_to_vector(given.model.parameters())
                vector -= 0.5 * torch.from_numpy(step)
                torch.nn.utils.vector_to_parameters(vector, given.model.parameters())
        assert close(ours.vector, theirs.vector, 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": np.zeros(3)}, "parameters, the vector's shape is"),
        ({"parameters": np.zeros(3, dtype=np.int64)}, "float32 or float64, not int64"),
        ({"skills": np.array([0, 7], dtype=np.int32)}, "a skill id is not from 0 to 6"),
        ({"skills": np.array([0, -1], dtype=np.int32)}, "a skill id is not from 0 to 6"),
        ({"skills": np.array([0], dtype=np.int32)}, "do not match"),
        ({"skills": np.array([0, 1])}, "int32, int8, int64, not int64"),
        ({"correct": np.array([0, 2], dtype=np.int8)}, "neither 0 nor 1"),
        ({"offsets": np.array([0, 3])}, "offsets must rise from 0 to 2"),
        ({"offsets": np.array([0, 2, 1, 2])}, "offsets must rise from 0 to 2"),
        ({"offsets": np.array([], dtype=np.int64)}, "offsets must rise from 0 to 2"),
        ({"features": np.zeros((2, 3))}, "features are float64"),
        ({"clipping_norm": 0.0}, "positive and finite"),
        ({"threads": 0}, "at least 1, not 0"),
    ],
)
def test_arrays_that_do_not_fit_never_reach_the_library(
    change: dict[str, Any], message: str
) -> None:
    shape = TracingShape(skills=SKILLS, embedding_size=2, hidden_size=3)
    arguments: dict[str, Any] = {
        "parameters": np.zeros(shape.parameters),
        "skills": np.array([0, 1], dtype=np.int32),
        "correct": np.array([0, 1], dtype=np.int8),
        "offsets": np.array([0, 2]),
        "clipping_norm": 1.0,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        TracingKernel(shape).clipped_sum(arguments.pop("parameters"), **arguments)


def test_rows_that_are_not_behind_one_another_are_copied() -> None:
    given = subject()
    wide = np.repeat(given.students.skills, 2)
    found = given.kernel().clipped_sum(
        np.repeat(given.vector, 2)[::2],
        skills=wide[::2],
        correct=given.students.correct,
        offsets=given.students.offsets,
        clipping_norm=0.1,
    )
    assert (found.total == given.compiled(0.1).total).all()


@pytest.mark.parametrize("size", ["skills", "embedding_size", "hidden_size", "features"])
def test_a_shape_refuses_what_no_network_has(size: str) -> None:
    sizes = {"skills": 2, "embedding_size": 2, "hidden_size": 2, size: -1}
    with pytest.raises(ValueError, match=r"is at least [01], not -1"):
        TracingShape(**sizes)


def test_an_instruction_set_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = TracingShape(skills=2, embedding_size=2, hidden_size=2)
    with pytest.raises(RuntimeError, match="abacus is not one of baseline"):
        TracingKernel(shape, instruction_set="abacus")  # type: ignore[arg-type]
    monkeypatch.setattr(library, "_library", lambda: None)
    with pytest.raises(RuntimeError, match="was not built"):
        TracingKernel(shape)


def students_of(students: Interactions) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    pairs = zip(students.offsets[:-1], students.offsets[1:], strict=True)
    return [(students.skills[a:b], students.correct[a:b]) for a, b in pairs]
