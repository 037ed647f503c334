"""What a layer keeps of a pass, and what is made of it: norms and clipped sums, student by student.

The gradient of one student's loss at a layer is a sum over that student's positions of
(gradient at the output) x (input), so the two are kept and no gradient of all parameters for all
students is ever laid out (Lee and Kifer 2021, "Scaling up Differentially Private Deep Learning with
Fast Per-Example Gradient Clipping"; Bu et al. 2023, "Differentially Private Optimization on Large
Model at Small Cost", where it is called book-keeping).

Whatever the gradients' own dtype, norms and sums over students are float64. In float32 the norm of
a million entries comes out a thousandth too small, and one student more can change how thousands of
others round (Casacuberta et al. 2022, "Widespread Underestimation of Sensitivity in Differentially
Private Libraries and How to Fix It").

Here: the order of work, and embeddings, which keep only the rows that a student touched. Dense
layers are in ``fedtrace.privacy.products``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The order in which the students of one pass are worked through.

    Attributes:
        order: int64 [student], longest first; None where the batch's own order will do.
        active: how many students have an interaction at each time; None where nobody said so.
    """

    order: Tensor | None = None
    active: tuple[int, ...] | None = None

    @classmethod
    def by_length(cls, lengths: Tensor) -> Rows:
        """Longest first, so that at each time the active students are the first ones.

        Raises:
            ValueError: lengths that are not a flat int64 tensor of numbers from 0.
        """
        if lengths.dtype != torch.int64 or lengths.ndim != 1 or bool((lengths < 0).any()):
            raise ValueError("lengths are int64 [student], each at least 0")
        ended = torch.bincount(lengths).cumsum(0)  # at t: students of length <= t
        return cls(
            order=torch.argsort(lengths, descending=True, stable=True),
            active=tuple((len(lengths) - ended[:-1]).tolist()),
        )

    def require(self, students: int) -> None:
        """There is one length a student, or none at all.

        Raises:
            ValueError: otherwise.
        """
        if self.order is not None and len(self.order) != students:
            raise ValueError(f"{len(self.order)} lengths for {students} students")

    def sorted(self, values: Tensor) -> Tensor:
        """``values`` [student, ...] in working order."""
        return values if self.order is None else values.index_select(0, self.order)

    def unsorted(self, values: Tensor) -> Tensor:
        """``values`` [student, ...] back in the batch's order."""
        if self.order is None:
            return values
        return values.index_select(0, torch.argsort(self.order))


class Book(ABC):
    """One layer's book: written by one forward and one backward pass, then read.

    Attributes:
        name: the layer's name in the module, for messages.
        students: rows of the layer's one call; None before it.
        edge: where the backward pass must come by; None before the call.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.students: int | None = None
        self.edge: GradientEdge | None = None

    @abstractmethod
    def recording(self) -> AbstractContextManager[None]:
        """While this is entered, the layer's one call is written down."""

    @abstractmethod
    def settle(self, gradient: Tensor | None) -> bool:
        """Take the gradient at ``edge``; returns whether any loss depends on the layer."""

    @abstractmethod
    def totals(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each parameter with its clipped sum so far, float64."""

    def _open(self, tensor: Tensor) -> None:
        if self.students is not None:
            raise ValueError(f"layer {self.name} is called twice; its book holds one call")
        self.students = len(tensor)


class EmbeddingBook(Book):
    """Rows of a table by id: keeps one gradient row for each (student, id) that occurred.

    Positions whose gradient is zero, padding above all, are dropped before anything is sorted.
    """

    def __init__(self, name: str, layer: nn.Embedding) -> None:
        super().__init__(name)
        self._layer = layer
        self._total = torch.zeros_like(layer.weight, dtype=torch.float64, requires_grad=False)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Write down the ids of the layer's one call."""

        def write(_: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            (ids,) = arguments
            self._open(ids)
            self._ids = ids
            self.edge = get_gradient_edge(output)

        handle = self._layer.register_forward_hook(write)
        try:
            yield
        finally:
            handle.remove()

    def settle(self, gradient: Tensor | None) -> bool:
        """Sum the gradient over equal (student, id) pairs."""
        if gradient is None or not gradient.numel():
            return False
        table = self._layer.num_embeddings
        owner = torch.arange(len(self._ids), device=self._ids.device)
        pair = self._ids.flatten(1) + owner[:, None] * table  # [student, position]
        flat = gradient.reshape(-1, self._layer.embedding_dim)
        touched = flat.abs().amax(dim=1).nonzero().squeeze(1)  # a NaN is not 0, so it stays
        pairs, place = torch.unique(pair.flatten()[touched], return_inverse=True)
        self._owner = torch.div(pairs, table, rounding_mode="floor")
        self._row = pairs % table
        self._rows = flat.new_zeros(len(pairs), flat.shape[1])
        self._rows.index_add_(0, place, flat[touched])
        return True

    def squared_norms(self, students: int) -> Tensor:
        """float64 [student], in the batch's order."""
        squared = self._rows.new_zeros(students, dtype=torch.float64)
        row_norms = torch.linalg.vector_norm(self._rows, dim=1, dtype=torch.float64)
        return squared.index_add_(0, self._owner, row_norms.square())

    def add(self, factors: Tensor) -> None:
        """Add every student times their factor; [student], in the batch's order."""
        self._total.index_add_(0, self._row, _scaled(self._rows.double(), factors[self._owner]))

    def totals(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The table's clipped sum."""
        yield self._layer.weight, self._total


def _scaled(rows: Tensor, factors: Tensor) -> Tensor:
    """Each row times its factor; a factor of 0 makes zeros even of NaN and infinity."""
    return torch.where(factors[:, None] > 0, rows * factors[:, None], 0.0)
