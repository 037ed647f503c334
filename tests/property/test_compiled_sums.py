"""The compiled engine on any students: equal to a loop, and one student's share is bounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.students import made_up_students
from support.tracing import Subject, TracingArchitecture, close

from fedtrace.privacy import reference
from fedtrace.privacy.kernel.library import instruction_sets, kernel_available

pytestmark = pytest.mark.skipif(
    not kernel_available(), reason="the compiled engine was not built: no C++ compiler at install"
)

students_lengths = st.lists(st.integers(0, 16), max_size=30)
architectures = st.sampled_from(("dkt", "residual-dkt"))
sizes = st.integers(1, 19)


@settings(max_examples=15, deadline=None)
@given(students_lengths, architectures, st.integers(1, 9), sizes, sizes, st.data())
def test_any_students_through_any_shape(
    lengths: list[int],
    architecture: TracingArchitecture,
    skills: int,
    embedding_size: int,
    hidden_size: int,
    data: st.DataObject,
) -> None:
    seed = data.draw(st.integers(0, 2**16))
    subject = Subject.made_up(
        made_up_students(lengths, skills=skills, seed=seed),
        architecture=architecture,
        skills=skills,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
    )
    clipping_norm = data.draw(st.floats(1e-3, 10))
    gradients = reference.looped_gradients(subject.model, subject.losses)
    total, norms = reference.clipped_sum(gradients, clipping_norm=clipping_norm)
    for instruction_set in instruction_sets():
        found = subject.compiled(
            clipping_norm,
            instruction_set=instruction_set,
            threads=data.draw(st.integers(1, 4)),
        )
        assert close(found.norms, norms.numpy(), 1e-12)
        assert close(found.total, total.numpy(), 1e-12)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.floats(1e-3, 10), st.data())
def test_one_student_moves_the_float32_sum_by_at_most_the_clipping_norm(
    lengths: list[int], clipping_norm: float, data: st.DataObject
) -> None:
    students = made_up_students(lengths, skills=6)
    leaver = data.draw(st.integers(0, len(lengths) - 1))
    staying = students.select(np.arange(len(lengths)) != leaver)
    whole, without = (
        Subject.made_up(each, skills=6, dtype=torch.float32).compiled(clipping_norm)
        for each in (students, staying)
    )
    moved = np.linalg.norm(whole.total.astype(np.float64) - without.total)
    assert moved <= clipping_norm + 1e-5 * min(clipping_norm, 1.0) * len(lengths)
