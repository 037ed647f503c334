"""Sensitivity as a property: one student moves a sum by at most C, whoever else is there."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.students import made_up_students
from support.thoroughness import examples

from fedtrace.models.interactions import Interactions, to_batch
from fedtrace.models.networks import KnowledgeModel, ModelSpec, build, student_losses
from fedtrace.privacy.engine import ClippedSum, ClippedSumEngine
from fedtrace.privacy.histograms import score_histograms
from fedtrace.privacy.noise import gaussian_on_grid, grid_step
from fedtrace.privacy.randomness import SeededRandom

SKILLS = 6


@lru_cache
def engine() -> tuple[KnowledgeModel, ClippedSumEngine]:
    """A float32 model, as in production, with parameters large enough to be clipped."""
    spec = ModelSpec(architecture="residual-dkt", skills=SKILLS, hidden_size=4, embedding_size=3)
    model = build(spec, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model, ClippedSumEngine(model)


def clipped(students: Interactions, clipping_norm: float, *, declared: bool) -> ClippedSum:
    model, summing = engine()
    return summing.clipped_sum(
        partial(student_losses, model, to_batch(students)),
        clipping_norm=clipping_norm,
        lengths=torch.from_numpy(students.lengths) if declared else None,
    )


lengths_of_students = st.lists(st.integers(0, 12), min_size=1, max_size=7)
clipping_norms = st.floats(1e-3, 10)


@examples(20)
@given(lengths_of_students, clipping_norms, st.integers(0, 2**16), st.booleans(), st.data())
def test_one_student_moves_the_sum_by_at_most_the_clipping_norm(
    lengths: list[int], clipping_norm: float, seed: int, declared: bool, data: st.DataObject
) -> None:
    students = made_up_students(lengths, skills=SKILLS, seed=seed)
    leaver = data.draw(st.integers(0, len(lengths) - 1))
    staying = students.select(np.arange(len(lengths)) != leaver)
    whole = clipped(students, clipping_norm, declared=declared)
    without = clipped(staying, clipping_norm, declared=declared)
    moved = np.linalg.norm(whole.total.astype(np.float64) - without.total)
    rounding = 1e-5 * min(clipping_norm, 1.0) * len(lengths)
    assert moved <= clipping_norm + rounding
    assert abs(moved - min(clipping_norm, whole.norms[leaver])) <= rounding + 1e-5


@examples(10)
@given(lengths_of_students, clipping_norms, st.integers(0, 2**16))
def test_neither_the_order_of_students_nor_their_declared_length_matters(
    lengths: list[int], clipping_norm: float, seed: int
) -> None:
    students = made_up_students(lengths, skills=SKILLS, seed=seed)
    order = np.random.default_rng(seed).permutation(len(lengths))
    plain = clipped(students, clipping_norm, declared=False)
    shuffled = clipped(students.select(order), clipping_norm, declared=True)
    np.testing.assert_allclose(shuffled.norms, plain.norms[order], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shuffled.total, plain.total, rtol=0, atol=1e-4 * clipping_norm)


@examples(20)
@given(st.integers(0, 2**16))
def test_a_lone_student_never_exceeds_the_clipping_norm(seed: int) -> None:
    """Not even by the rounding of the norm, in float32."""
    student = made_up_students([11], skills=SKILLS, seed=seed)
    result = clipped(student, 1e-3, declared=False)
    assert np.linalg.norm(result.total.astype(np.float64)) <= 1e-3


@examples(30)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 4)), max_size=60),
    st.integers(1, 30),
)
def test_one_student_moves_the_histograms_by_one(
    answers: list[tuple[float, int, int]], half_bins: int
) -> None:
    columns = np.array(answers, dtype=np.float64).reshape(-1, 3).T
    probability, correct, student = columns[0], columns[1].astype(int), columns[2].astype(int)
    whole = score_histograms(probability, correct, student, 2 * half_bins)
    for leaver in range(5):
        stay = student != leaver
        rest = score_histograms(probability[stay], correct[stay], student[stay], 2 * half_bins)
        assert np.linalg.norm(whole - rest) <= 1 + 1e-12


@examples(30)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20),
    st.floats(1e-4, 1e3),
    st.floats(0, 100),
    st.integers(0, 2**16),
)
def test_equal_randomness_moves_any_two_sums_by_the_same_grid_steps(
    total: list[float], clipping_norm: float, noise_multiplier: float, seed: int
) -> None:
    """The set of possible outputs does not depend on the sum: noise is added in whole steps."""

    def release(values: np.ndarray) -> np.ndarray:
        return gaussian_on_grid(
            values,
            clipping_norm=clipping_norm,
            noise_multiplier=noise_multiplier,
            source=SeededRandom(seed),
        )

    values, step = np.array(total), grid_step(clipping_norm)
    difference = (release(values) - release(np.zeros_like(values))) / step
    assert (difference == np.rint(values / step)).all()
