"""Cutting sequences: what is kept, and that it is refused where nothing could be predicted."""

import numpy as np
import pytest

from fedtrace.models.interactions import Interactions


def test_every_row_keeps_its_first_interactions() -> None:
    rows = Interactions.from_students([([5, 6, 7], [1, 0, 1]), ([8], [0]), ([], [])])

    cut = rows.cut(2)

    assert cut.skills.tolist() == [5, 6, 8]
    assert cut.correct.tolist() == [1, 0, 0]
    assert np.array_equal(cut.lengths, [2, 1, 0])


def test_a_length_without_a_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="1 interactions holds no prediction"):
        Interactions.from_students([([1], [1])]).cut(1)
