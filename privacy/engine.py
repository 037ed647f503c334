"""Sums of clipped per-student gradients from one forward and one backward pass.

The step of DP-SGD that everything rests on (Abadi et al. 2016, "Deep Learning with Differential
Privacy", algorithm 1): each student's gradient is scaled down to L2 norm C, then all are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedtrace.privacy.bookkeeping import Book, EmbeddingBook, Rows
from fedtrace.privacy.lstm import Workspace
from fedtrace.privacy.noise import require_clipping_norm
from fedtrace.privacy.products import LinearBook, LstmBook, ProductBook

BLOCK_ENTRIES = 2**16
"""Numbers in one block of students' gradients: as many as stay in a core's own cache."""

ROUNDING_UNITS = 64
"""A norm is raised by so many units of the gradients' last place: scaling them rounds too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClippedSum:
    """What one pass over a batch of students gives.

    Attributes:
        total: float64 [parameters] in the order of ``module.parameters()``; still secret: without
            noise it may be one student's gradient.
        norms: float64 [student], L2 norms before the clip; secret. Infinite or NaN marks a student
            who was left out.
    """

    total: npt.NDArray[Any]
    norms: npt.NDArray[Any]

    def __repr__(self) -> str:
        return f"ClippedSum({len(self.norms)} students, {len(self.total)} parameters)"


class ClippedSumEngine:
    """Computes clipped sums for one module of embeddings, linear layers and LSTMs.

    Guarantees:
        Adding or removing one student changes ``total`` by a vector of L2 norm at most C, as long
        as a student's loss depends on no other student: up to the rounding of sums of students in
        float64 (students^2 * 2^-52 * C), and of the others' gradients where a different batch
        takes matrix products in another order (some units of their last place). The module's
        parameters, gradients, hooks and buffers are left as they were.

    | student                              | contributes                                     |
    | ------------------------------------ | ----------------------------------------------- |
    | gradient of norm up to C             | the gradient                                    |
    | gradient of norm above C             | the gradient, scaled down to norm C             |
    | zero gradient, constant loss         | zero                                            |
    | a NaN, an infinity, an infinite norm | zero, and does not touch the others             |
    | nobody (an empty batch)              | the sum is zero                                 |

    Not for use by two threads at once. Buffers of the size of the largest batch are kept between
    calls and hold students' activations.

    Args:
        module: its parameters all lie in ``nn.Embedding``, ``nn.Linear`` and single-layer,
            unidirectional, batch-first ``nn.LSTM`` layers; a forward pass calls each at most once,
            with the student as first dimension, and does not use an LSTM's last state.

    Raises:
        ValueError: parameters in another kind of layer, shared between layers, frozen or of
            different dtypes, or an option of a layer that changes its gradient.
    """

    def __init__(self, module: nn.Module) -> None:
        self._layers = _supported_layers(module)
        self._parameters = list(module.parameters())
        _require_plain_parameters(module)
        self._workspaces = {name: Workspace() for name, _ in self._layers}

    def clipped_sum(
        self,
        losses: Callable[[], Tensor],
        *,
        clipping_norm: float,
        lengths: Tensor | None = None,
    ) -> ClippedSum:
        """The sum of the students' gradients, each clipped to norm C.

        Args:
            losses: runs the module once on a batch and returns one loss a student, [student].
            clipping_norm: C.
            lengths: int64 [student], the number of interactions of each; given, LSTMs do no work
                on the padding after them, and are zero there. No loss may depend on it.

        Raises:
            ValueError: losses that are not [student], a layer called twice or with another number
                of rows, a loss that depends on padding that ``lengths`` declared, a clipping norm
                that is not positive and finite.
        """
        require_clipping_norm(clipping_norm)
        rows = Rows() if lengths is None else Rows.by_length(lengths)
        books = [_book(name, layer, rows, self._workspaces[name]) for name, layer in self._layers]
        with torch.enable_grad(), ExitStack() as recordings:
            for book in books:
                recordings.enter_context(book.recording())
            values = losses()
            students = _require_one_loss_a_student(values, books)
            rows.require(students)
            settled = _settle(books, values)
        with torch.no_grad():
            norms = _clip_and_sum(settled, rows, students, clipping_norm, self._parameters[0])
        sums = {id(parameter): total for book in settled for parameter, total in book.totals()}
        parts = [
            sums.get(id(p), torch.zeros_like(p, dtype=torch.float64)).flatten()
            for p in self._parameters
        ]
        return ClippedSum(total=torch.cat(parts).detach().cpu().numpy(), norms=norms.cpu().numpy())


def _clip_and_sum(
    books: Sequence[Book], rows: Rows, students: int, clipping_norm: float, like: Tensor
) -> Tensor:
    """Fill the books' totals; returns the norms, [student] in the batch's order."""
    embeddings = [book for book in books if isinstance(book, EmbeddingBook)]
    products = [book for book in books if isinstance(book, ProductBook)]
    squared = like.new_zeros(students, dtype=torch.float64)
    for embedding in embeddings:
        squared += embedding.squared_norms(students)
    squared = rows.sorted(squared).clone()
    factors = torch.empty_like(squared)
    entries = sum(book.entries for book in products)
    at_once = max(1, BLOCK_ENTRIES // entries) if products else max(1, students)
    for first in range(0, students, at_once):
        last = min(first + at_once, students)
        blocks = [book.block(first, last) for book in products]
        for book, block in zip(products, blocks, strict=True):
            squared[first:last] += book.squared_norms(block)
        factors[first:last] = _clip_factors(squared[first:last].sqrt(), clipping_norm, like.dtype)
        for book, block in zip(products, blocks, strict=True):
            book.add(block, factors[first:last])
    for embedding in embeddings:
        embedding.add(rows.unsorted(factors))
    return rows.unsorted(squared).sqrt()


def _clip_factors(norms: Tensor, clipping_norm: float, dtype: torch.dtype) -> Tensor:
    """min(1, C / norm), and 0 for a norm that is not finite; there is no 0 / 0."""
    upper = norms * (1 + ROUNDING_UNITS * torch.finfo(dtype).eps)
    factors = clipping_norm / upper.clamp(min=clipping_norm)
    return torch.where(upper.isfinite(), factors, 0.0)


def _settle(books: Sequence[Book], values: Tensor) -> list[Book]:
    """Run the backward pass; the books that any loss depends on."""
    called = [(book, book.edge) for book in books if book.edge is not None]
    if not values.requires_grad or not called:
        return []
    edges = [edge for _, edge in called]
    # Only what the edges need is computed: no gradient of a parameter.
    gradients = torch.autograd.grad(values.sum(), edges, allow_unused=True)
    return [
        book for (book, _), gradient in zip(called, gradients, strict=True) if book.settle(gradient)
    ]


def _book(name: str, layer: nn.Module, rows: Rows, workspace: Workspace) -> Book:
    match layer:
        case nn.Embedding():
            return EmbeddingBook(name, layer)
        case nn.Linear():
            return LinearBook(name, layer, rows, workspace)
        case nn.LSTM():
            return LstmBook(name, layer, rows, workspace)
    raise ValueError(f"layer {name} ({type(layer).__name__}) has no book")


def _supported_layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that hold parameters, by name, all of a kind that has a book."""
    layers = []
    for name, layer in module.named_modules():
        if not list(layer.parameters(recurse=False)):
            continue
        # Exact types: a subclass may compute something else.
        if type(layer) not in (nn.Embedding, nn.Linear, nn.LSTM):
            raise ValueError(
                f"parameters in {name or 'the module itself'} ({type(layer).__name__}): only "
                "nn.Embedding, nn.Linear and nn.LSTM have books"
            )
        if isinstance(layer, nn.Embedding):
            special = (layer.padding_idx, layer.max_norm) != (None, None)
            if special or layer.scale_grad_by_freq or layer.sparse:
                raise ValueError(f"embedding {name} has an option that changes its gradient")
        if isinstance(layer, nn.LSTM):
            plain = layer.num_layers == 1 and not layer.bidirectional and layer.proj_size == 0
            if not (plain and layer.batch_first):
                raise ValueError(f"LSTM {name} is not single-layer, one-way and batch-first")
        layers.append((name, layer))
    return layers


def _require_plain_parameters(module: nn.Module) -> None:
    """Every parameter is in one place, trained, and of the same dtype as the others."""
    seen: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            raise ValueError(f"{name} and {seen[id(parameter)]} are one shared parameter")
        if not parameter.requires_grad:
            raise ValueError(f"{name} is frozen; a clipped sum is over all parameters")
        seen[id(parameter)] = name
    dtypes = {parameter.dtype for parameter in module.parameters()}
    if len(dtypes) != 1:
        raise ValueError(f"parameters of one dtype are needed, not of {len(dtypes)}")


def _require_one_loss_a_student(values: Tensor, books: Sequence[Book]) -> int:
    """The number of students, on which losses and layers agree."""
    if values.ndim != 1:
        raise ValueError(f"losses are [student], not of shape {tuple(values.shape)}")
    students = len(values)
    for book in books:
        if book.students not in (None, students):
            raise ValueError(
                f"layer {book.name} saw {book.students} rows for {students} losses; "
                "the first dimension is the student"
            )
    return students
