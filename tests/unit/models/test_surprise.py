"""Surprise: signs, the past alone, and the numbers of a short history by hand."""

import pytest
import torch

from fedtrace.models.surprise import FAST_DECAY, SLOW_DECAY, surprises


def test_a_short_history_by_hand() -> None:
    correct = torch.tensor([[1.0, 0.0, 1.0]])
    expected = torch.tensor([[0.2, 0.5, 0.9]])

    found = surprises(correct, expected)[0]

    assert not found[0].any()
    fast, slow = 2 * (1 - FAST_DECAY), 2 * (1 - SLOW_DECAY)
    assert found[1].tolist() == pytest.approx([0.8 / 1.16, fast * 0.8, slow * 0.8])
    assert found[2].tolist() == pytest.approx(
        [0.3 / 1.41, fast * (0.8 * FAST_DECAY - 0.5), slow * (0.8 * SLOW_DECAY - 0.5)]
    )


def test_a_right_answer_to_a_hard_question_says_more() -> None:
    correct = torch.ones(1, 2)
    hard, easy = (surprises(correct, torch.full((1, 2), share))[0, 1] for share in (0.2, 0.8))

    assert (hard > easy).all()
    assert (easy > 0).all()
