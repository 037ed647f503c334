"""Books of dense layers, whose gradient for one student is one matrix product, G = sum of x g^T.

x ends with a 1 where the layer has biases, so that the last row of G is their gradient. A
student's G is formed, normed, scaled and added while it is still in the processor's cache, so the
product is computed once; forming the sum over all students again from scaled g would cost a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from fedtrace.privacy.bookkeeping import Book, Rows
from fedtrace.privacy.lstm import LstmPass, LstmWeights, Workspace

Parts = tuple[tuple[Tensor, slice | int], ...]


class ProductBook(Book):
    """The part that linear layers and LSTMs share.

    Args:
        name: the layer's name in the module, for messages.
        parts: each parameter with the rows of G that are its gradient, transposed; a bias has one.
        rows: the order in which students are worked through.
        workspace: gives the buffer of a block.
    """

    def __init__(self, name: str, parts: Parts, rows: Rows, workspace: Workspace) -> None:
        super().__init__(name)
        self._parts = parts
        self._biases = sum(isinstance(place, int) for _, place in parts)
        self._rows = rows
        self._workspace = workspace
        self._gradients = torch.empty(0)  # [student, position, out]
        self._inputs = torch.empty(0)  # [student, position, in]
        self._used: Sequence[int] = ()  # [student], positions in use
        self._total = torch.empty(0)  # [in, out]

    @property
    def entries(self) -> int:
        """How many numbers of a block belong to one student."""
        return self._total.numel()

    def block(self, first: int, last: int) -> Tensor:
        """[last - first, in, out], float64: G of these students, until the next block is asked."""
        used = self._used[first]  # students come longest first, so it bounds the others too
        gradients, inputs = self._gradients[first:last, :used], self._inputs[first:last, :used]
        block: Tensor = self._workspace.take("block", (last - first, *self._total.shape), inputs)
        torch.bmm(inputs.transpose(1, 2), gradients, out=block)
        return block.double()

    def squared_norms(self, block: Tensor) -> Tensor:
        """[student]: a row counts once for each parameter whose gradient it is."""
        squared: Tensor = torch.linalg.vector_norm(block.flatten(1), dim=1).square()
        if self._biases > 1:
            bias = torch.linalg.vector_norm(block[:, -1], dim=1).square()
            squared += (self._biases - 1) * bias
        return squared

    def add(self, block: Tensor, factors: Tensor) -> None:
        """Add the students of a block, each times their factor; overwrites the block."""
        left_out = factors == 0
        if left_out.any():
            block[left_out] = 0  # 0 * NaN is NaN
        self._total.view(1, -1).addmm_(factors[None], block.flatten(1))

    def totals(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The clipped sum, parameter by parameter."""
        for parameter, place in self._parts:
            yield parameter, self._total[place].t()

    def _keep(self, gradients: Tensor, inputs: Tensor, used: Sequence[int]) -> None:
        """Take both sides, students in working order; ``used`` is each one's last position."""
        self._gradients, self._inputs, self._used = gradients, inputs, used
        size = (inputs.shape[2], gradients.shape[2])
        self._total = inputs.new_zeros(size, dtype=torch.float64)


class LinearBook(ProductBook):
    """A linear layer, over any number of positions a student."""

    def __init__(self, name: str, layer: nn.Linear, rows: Rows, workspace: Workspace) -> None:
        parts: Parts = ((layer.weight, slice(0, layer.in_features)),)
        if layer.bias is not None:
            parts = (*parts, (layer.bias, layer.in_features))
        super().__init__(name, parts, rows, workspace)
        self._layer = layer

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Write down the input of the layer's one call."""

        def write(_: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            (given,) = arguments
            self._open(given)
            self._given = given.detach()
            self.edge = get_gradient_edge(output)

        handle = self._layer.register_forward_hook(write)
        try:
            yield
        finally:
            handle.remove()

    def settle(self, gradient: Tensor | None) -> bool:
        """Bring both sides to [student, position, ...]."""
        if gradient is None or not gradient.numel():
            return False
        students, inside, outside = len(gradient), self._layer.in_features, gradient.shape[-1]
        inputs = self._given.reshape(students, -1, inside)
        if self._biases:
            inputs = torch.cat([inputs, inputs.new_ones(*inputs.shape[:2], 1)], dim=2)
        gradients = gradient.reshape(students, -1, outside)
        used = [inputs.shape[1]] * students
        self._keep(self._rows.sorted(gradients), self._rows.sorted(inputs), used)
        return True


class LstmBook(ProductBook):
    """An LSTM of one layer: its forward pass is replaced while it is recorded."""

    def __init__(self, name: str, layer: nn.LSTM, rows: Rows, workspace: Workspace) -> None:
        weights = LstmWeights.of(layer)
        bounds = (0, layer.input_size, layer.input_size + layer.hidden_size)
        parts: Parts = (
            (weights.onto_input, slice(bounds[0], bounds[1])),
            (weights.onto_hidden, slice(bounds[1], bounds[2])),
            *((bias, bounds[2]) for bias in weights.biases),
        )
        super().__init__(name, parts, rows, workspace)
        self._layer = layer
        self._pass = LstmPass(layer, rows.active, workspace)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Let the book-keeping pass stand in for ``nn.LSTM.forward``, on this object only."""

        def forward(sequence: Tensor, state: None = None) -> tuple[Tensor, tuple[()]]:
            if state is not None or sequence.ndim != 3:
                raise ValueError(f"layer {self.name}: one batch of sequences, from a zero state")
            self._open(sequence)
            self._rows.require(len(sequence))
            anchor = sequence.new_zeros((), requires_grad=True)
            self.edge = get_gradient_edge(anchor)
            hidden = self._pass.run(self._rows.sorted(sequence), anchor)
            # The last state is not offered: an empty tuple fails loudly where one is expected.
            return self._rows.unsorted(hidden), ()

        self._layer.forward = forward  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            del self._layer.forward

    def settle(self, gradient: Tensor | None) -> bool:
        """Take both sides from the pass."""
        del gradient  # there is none at the anchor: it only led the backward pass through here
        gates, inputs = self._pass.gate_gradients, self._pass.inputs
        if gates is None or inputs is None or not gates.numel():
            return False
        self._keep(gates.transpose(0, 1), inputs.transpose(0, 1), self._pass.steps())
        return True
