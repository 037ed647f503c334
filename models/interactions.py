"""Students' interactions as ragged arrays, their windows, and padded batches of them.

Everything a school knows about its students reaches the models in this one shape: two flat
arrays and the offsets at which each student begins. Cutting into windows moves only the offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SkillArray = npt.NDArray[np.int32]
AnswerArray = npt.NDArray[np.int8]
IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactions:
    """Ragged rows; row i, a student or a window, owns ``offsets[i]:offsets[i + 1]`` in time order.

    Attributes:
        skills: int32 [interactions], 0-based ids of the plan's skill catalogue.
        correct: int8 [interactions], 1 for a right answer and 0 for a wrong one.
        offsets: int64 [students + 1], from 0 to the number of interactions.

    Raises:
        ValueError: a wrong dtype, lengths that disagree, an answer that is not 0 or 1, a negative
            skill, or offsets that do not cover the interactions in order.
    """

    skills: SkillArray
    correct: AnswerArray
    offsets: IndexArray

    def __post_init__(self) -> None:
        """Refuse arrays that contradict each other."""
        dtypes = ", ".join(str(part.dtype) for part in (self.skills, self.correct, self.offsets))
        if dtypes != "int32, int8, int64":
            raise ValueError(f"skills, correct, offsets are int32, int8, int64, not {dtypes}")
        if self.skills.ndim != 1 or self.skills.shape != self.correct.shape:
            raise ValueError(
                f"{self.skills.shape} skills and {self.correct.shape} answers do not match"
            )
        covers = (
            self.offsets.ndim == 1
            and len(self.offsets) >= 1
            and self.offsets[0] == 0
            and self.offsets[-1] == len(self.skills)
            and bool((np.diff(self.offsets) >= 0).all())
        )
        if not covers:
            raise ValueError(
                f"offsets must rise from 0 to the number of interactions, {len(self.skills)}"
            )
        if len(self.skills) and self.skills.min() < 0:
            raise ValueError("a skill id is negative; ids start at 0")
        if len(self.correct) and not (self.correct.min() >= 0 and self.correct.max() <= 1):
            raise ValueError("an answer is neither 0 nor 1")

    def __len__(self) -> int:
        """The number of rows: students, or windows after a cut."""
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Interactions({len(self)} rows, {len(self.skills)} interactions)"

    @property
    def lengths(self) -> IndexArray:
        """int64 [students], the number of interactions of each."""
        return np.diff(self.offsets)

    @classmethod
    def from_students(cls, students: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> Interactions:
        """Join one (skills, correct) pair a student, each in time order.

        Raises:
            ValueError: as for the class; also a pair whose arrays differ in length.
        """
        pairs = [(np.asarray(skills), np.asarray(correct)) for skills, correct in students]
        for skills, correct in pairs:
            if skills.shape != correct.shape:
                raise ValueError(f"{skills.shape} skills and {correct.shape} answers do not match")
        lengths = [len(skills) for skills, _ in pairs]
        empty = np.zeros(0, dtype=np.int32)
        return cls(
            skills=np.concatenate([empty, *(skills for skills, _ in pairs)]).astype(np.int32),
            correct=np.concatenate([empty, *(correct for _, correct in pairs)]).astype(np.int8),
            offsets=_offsets(np.asarray(lengths, dtype=np.int64)),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Interactions]) -> Interactions:
        """All rows of all parts, in order; no parts make an empty value."""
        lengths = [np.zeros(0, dtype=np.int64), *(part.lengths for part in parts)]
        return cls(
            skills=np.concatenate([np.zeros(0, np.int32), *(part.skills for part in parts)]),
            correct=np.concatenate([np.zeros(0, np.int8), *(part.correct for part in parts)]),
            offsets=_offsets(np.concatenate(lengths)),
        )

    def select(self, students: npt.ArrayLike) -> Interactions:
        """The named rows in the named order.

        Args:
            students: indices, or a boolean mask with one entry a row.

        Raises:
            IndexError: an index or a mask that does not fit.
        """
        chosen = np.arange(len(self))[np.asarray(students)] if np.size(students) else _NOBODY
        return self._slices(self.offsets[chosen], self.lengths[chosen])

    def cut(self, length: int) -> Interactions:
        """The first ``length`` interactions of every row; shorter rows stay as they are.

        Raises:
            ValueError: ``length`` is below 2, so that no row could hold a prediction.
        """
        _require_window(length)
        return self._slices(self.offsets[:-1], np.minimum(length, self.lengths))

    def windows(self, length: int) -> tuple[Interactions, IndexArray]:
        """Cut every row into consecutive windows of at most ``length`` interactions.

        Nothing is dropped or copied. A row without interactions has no window.

        Returns:
            The windows, and for each the row it was cut from: int64 [windows].

        Raises:
            ValueError: ``length`` is below 2, so that no window could hold a prediction.
        """
        _require_window(length)
        counts = -(-self.lengths // length)
        owner = np.repeat(np.arange(len(self)), counts)
        starts = self.offsets[owner] + length * _ranks(counts)
        offsets = np.append(starts, len(self.skills)).astype(np.int64)
        return Interactions(skills=self.skills, correct=self.correct, offsets=offsets), owner

    def draw_windows(self, length: int, rng: np.random.Generator) -> Interactions:
        """One window a row, so that every student weighs the same and stays in place.

        The window is uniform over the consecutive windows that hold a prediction, which takes at
        least two interactions; rows of fewer stay as they are.

        Raises:
            ValueError: ``length`` is below 2.
        """
        _require_window(length)
        full, rest = np.divmod(self.lengths, length)
        useful = np.maximum(full + (rest >= 2), 1)
        starts = length * rng.integers(0, useful)
        return self._slices(self.offsets[:-1] + starts, np.minimum(length, self.lengths - starts))

    def _slices(self, starts: IndexArray, lengths: IndexArray) -> Interactions:
        """A new value whose row i is ``lengths[i]`` interactions from ``starts[i]``."""
        positions = np.repeat(starts, lengths) + _ranks(lengths)
        return Interactions(
            skills=self.skills[positions],
            correct=self.correct[positions],
            offsets=_offsets(lengths),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded rows for a network; padding follows the interactions and never reaches back.

    Attributes:
        skills: int64 [row, time], 0 at padding.
        correct: float32 [row, time], 0 at padding.
        predicted: bool [row, time]; False at each row's first interaction, which is context only,
            and at padding.
        history: float32 [row, time, feature] of ``fedtrace.models.history``, or None: a network
            that needs it then computes it. It only saves time.
    """

    skills: Tensor
    correct: Tensor
    predicted: Tensor
    history: Tensor | None = None


def to_batch(interactions: Interactions) -> Batch:
    """Pad every row to the longest; at least one column, so that an empty batch has a shape."""
    lengths = torch.from_numpy(interactions.lengths)
    width = max(1, int(lengths.max()) if len(lengths) else 1)
    time = torch.arange(width)
    present = time < lengths[:, None]  # [row, time]
    skills = torch.zeros(len(interactions), width, dtype=torch.int64)
    correct = torch.zeros(len(interactions), width)
    skills[present] = torch.from_numpy(interactions.skills.astype(np.int64))
    correct[present] = torch.from_numpy(interactions.correct.astype(np.float32))
    return Batch(skills=skills, correct=correct, predicted=present & (time > 0))


def batches(interactions: Interactions, rows_per_batch: int) -> Iterator[tuple[Batch, IndexArray]]:
    """Batches of rows of similar length, so that little of the work is spent on padding.

    Yields:
        A batch, and which rows of ``interactions`` it holds: int64 [row].

    Raises:
        ValueError: ``rows_per_batch`` is below 1.
    """
    if rows_per_batch < 1:
        raise ValueError(f"a batch has at least 1 row, not {rows_per_batch}")
    by_length = np.argsort(interactions.lengths, kind="stable")
    for first in range(0, len(by_length), rows_per_batch):
        rows = by_length[first : first + rows_per_batch]
        yield to_batch(interactions.select(rows)), rows


_NOBODY: IndexArray = np.zeros(0, dtype=np.int64)


def _offsets(lengths: IndexArray) -> IndexArray:
    return np.concatenate([_NOBODY, [0], np.cumsum(lengths)]).astype(np.int64)


def _ranks(counts: IndexArray) -> IndexArray:
    """0, 1, ..., counts[0] - 1, 0, 1, ..., counts[1] - 1, ..."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def _require_window(length: int) -> None:
    if length < 2:
        raise ValueError(f"a window of {length} interactions holds no prediction; 2 is the least")
