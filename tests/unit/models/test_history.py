"""History features against a student at a time and an answer at a time."""

import math
import time
from itertools import takewhile

import numpy as np
import pytest
import torch
from support.students import made_up_students

from fedtrace.models.history import FAST_DECAY, FEATURES, SLOW_DECAY, history, with_history
from fedtrace.models.interactions import Interactions, to_batch


def slowly(skills: list[int], correct: list[int]) -> list[list[float]]:
    """The definition, as loops."""
    rows = []
    for now, skill in enumerate(skills):
        past = list(zip(skills[:now], correct[:now], strict=True))
        on_skill = [answer for met, answer in past if met == skill]
        overall = [answer for _, answer in past]
        last = past[-1] if past else None
        signed = 0 if last is None else 2 * last[1] - 1
        same = last is not None and last[0] == skill
        before = [skills[when] for when in reversed(range(now))]
        gap = before.index(skill) + 1 if skill in before else 0
        run = len(list(takewhile(skill.__eq__, before)))
        rows.append(
            [
                math.log1p(sum(on_skill)),
                math.log1p(len(on_skill) - sum(on_skill)),
                math.log1p(sum(overall)),
                math.log1p(len(overall) - sum(overall)),
                decayed(on_skill, FAST_DECAY),
                decayed(on_skill, SLOW_DECAY),
                decayed(overall, FAST_DECAY),
                decayed(overall, SLOW_DECAY),
                signed if same else 0,
                0 if same else signed,
                same,
                (sum(on_skill) + 1) / (len(on_skill) + 2) - 0.5,
                (sum(overall) + 1) / (len(overall) + 2) - 0.5,
                math.log(gap) if gap else 0,
                gap > 0,
                math.log1p(run),
            ]
        )
    return rows


def decayed(answers: list[int], decay: float) -> float:
    value = 0.0
    for answer in answers:
        value = decay * value + (1 - decay) * (2 * answer - 1)
    return value


@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 65])
def test_features_are_what_they_say(length: int) -> None:
    students = made_up_students([length, 5, 1], skills=4, seed=length)

    found = history(to_batch(students))

    for row in range(len(students)):
        own = slice(students.offsets[row], students.offsets[row + 1])
        expected = slowly(students.skills[own].tolist(), students.correct[own].tolist())
        computed = found[row, : len(expected)].numpy()
        np.testing.assert_allclose(computed, expected, atol=2e-6)


def test_nothing_known_is_zero() -> None:
    assert not history(to_batch(made_up_students([6, 3], skills=4)))[:, 0].any()


def test_an_answer_never_explains_itself_or_the_past() -> None:
    students = made_up_students([30], skills=3)
    changed = Interactions(
        skills=students.skills,
        correct=np.concatenate([students.correct[:20], 1 - students.correct[20:]]),
        offsets=students.offsets,
    )

    before, after = history(to_batch(students)), history(to_batch(changed))

    assert torch.equal(before[:, :21], after[:, :21])
    assert not torch.equal(before[:, 21:], after[:, 21:])


def test_a_batch_that_carries_its_features_gives_them_back() -> None:
    batch = with_history(to_batch(made_up_students([5], skills=3)))

    assert history(batch) is batch.history
    assert batch.history is not None
    assert batch.history.shape == (1, 5, len(FEATURES))


def test_a_hundred_thousand_interactions_take_well_under_a_second() -> None:
    batch = to_batch(made_up_students([200] * 500, skills=100))

    start = time.perf_counter()
    history(batch)

    assert time.perf_counter() - start < 2  # 0.04 s on an idle core
