"""Ragged rows: what they refuse, how they are cut, drawn and padded."""

import numpy as np
import pytest
from support.students import made_up_students

from fedtrace.models.interactions import Interactions, batches, to_batch


def three_rows() -> Interactions:
    return Interactions.from_students([([5, 6, 7, 5, 1], [1, 0, 1, 1, 0]), ([], []), ([8], [0])])


def test_rows_keep_their_order() -> None:
    rows = three_rows()

    assert len(rows) == 3
    assert rows.lengths.tolist() == [5, 0, 1]
    dtypes = [str(part.dtype) for part in (rows.skills, rows.correct, rows.offsets)]
    assert dtypes == ["int32", "int8", "int64"]


def test_concatenating_what_was_selected_gives_the_rows_back() -> None:
    rows = three_rows()
    parts = [rows.select([number]) for number in range(3)]

    again = Interactions.concatenate(parts)

    assert again.skills.tolist() == rows.skills.tolist()
    assert again.offsets.tolist() == rows.offsets.tolist()
    assert len(Interactions.concatenate([])) == 0


def test_selection_is_by_index_in_any_order_or_by_mask() -> None:
    rows = three_rows()

    assert rows.select([2, 0]).skills.tolist() == [8, 5, 6, 7, 5, 1]
    assert rows.select(np.array([False, True, True])).skills.tolist() == [8]
    assert len(rows.select(np.zeros(3, dtype=bool))) == 0
    assert len(rows.select([])) == 0
    with pytest.raises(IndexError):
        rows.select([3])


def test_windows_drop_nothing_and_know_their_student() -> None:
    windows, owner = three_rows().windows(2)

    assert windows.lengths.tolist() == [2, 2, 1, 1]
    assert owner.tolist() == [0, 0, 0, 2]
    assert windows.skills.tolist() == three_rows().skills.tolist()


def test_a_drawn_window_is_one_a_student_and_always_useful() -> None:
    rows = Interactions.from_students([(np.arange(7), np.ones(7)), ([3], [1]), ([], [])])
    rng = np.random.default_rng(0)

    starts = []
    for _ in range(60):
        drawn = rows.draw_windows(3, rng)
        assert drawn.lengths.tolist() == [3, 1, 0]
        starts.append(int(drawn.skills[0]))

    assert set(starts) == {0, 3}  # the window from 6 would hold one interaction and no prediction


@pytest.mark.parametrize("length", [1, 0, -1])
def test_a_window_without_a_prediction_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="2 is the least"):
        three_rows().windows(length)
    with pytest.raises(ValueError, match="2 is the least"):
        three_rows().draw_windows(length, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("skills", "correct", "offsets", "sentence"),
    [
        (np.array([1.0]), np.array([1], np.int8), np.array([0, 1]), "are int32, int8, int64"),
        (np.array([1], np.int32), np.array([2], np.int8), np.array([0, 1]), "neither 0 nor 1"),
        (np.array([-1], np.int32), np.array([1], np.int8), np.array([0, 1]), "negative"),
        (np.array([1], np.int32), np.array([1], np.int8), np.array([0, 2]), "offsets must rise"),
        (np.array([1], np.int32), np.zeros(2, np.int8), np.array([0, 1]), "do not match"),
    ],
)
def test_contradictions_are_refused(
    skills: np.ndarray, correct: np.ndarray, offsets: np.ndarray, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Interactions(skills=skills, correct=correct, offsets=offsets)


def test_answers_and_skills_of_one_student_must_pair() -> None:
    with pytest.raises(ValueError, match="do not match"):
        Interactions.from_students([([1, 2], [1])])


def test_the_printed_form_shows_no_student() -> None:
    assert repr(three_rows()) == "Interactions(3 rows, 6 interactions)"


def test_padding_follows_and_first_answers_are_context() -> None:
    batch = to_batch(three_rows())

    assert batch.skills.tolist() == [[5, 6, 7, 5, 1], [0] * 5, [8, 0, 0, 0, 0]]
    assert batch.predicted.tolist() == [[False] + [True] * 4, [False] * 5, [False] * 5]


def test_an_empty_batch_has_a_shape() -> None:
    assert to_batch(Interactions.from_students([])).skills.shape == (0, 1)


def test_batches_hold_every_row_once_with_rows_of_like_length_together() -> None:
    rows = made_up_students([9, 1, 4, 4, 0, 2], skills=3)

    found = list(batches(rows, 2))

    assert sorted(int(row) for _, held in found for row in held) == list(range(6))
    assert [batch.skills.shape[1] for batch, _ in found] == [1, 4, 9]
    with pytest.raises(ValueError, match="at least 1 row, not 0"):
        next(batches(rows, 0))
