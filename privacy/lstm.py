"""An LSTM whose backward pass keeps what every student's own gradient is made of.

With gates a_t = W [x_t, h_{t-1}, 1] before their nonlinearities, the gradient of one student's loss
is the sum over t of g_t [x_t, h_{t-1}, 1]^T, where g_t is the gradient at a_t. An ordinary backward
pass computes every g_t and forgets it; this one keeps them, beside the inputs.

Book-keeping of activations and output gradients: Bu et al. 2023, "Differentially Private
Optimization on Large Model at Small Cost", there for layers without recurrence; the equations of
the cell: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, in PyTorch's
gate order (input, forget, cell, output).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CELL_GATE = 2
"""Place of the cell gate, the one with a tanh, among PyTorch's four."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class Workspace:
    """Buffers that outlive one pass: fresh pages for them would cost a quarter of the time.

    A buffer holds whatever the last pass left there, students' activations among it, and is valid
    until the same name is taken again.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """An uninitialised tensor of the shape, of the dtype and device of ``like``."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        fits = (
            buffer is not None
            and buffer.numel() >= size
            and (buffer.dtype, buffer.device) == (like.dtype, like.device)
        )
        if buffer is None or not fits:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(*shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class LstmWeights:
    """The parameters of a single-layer LSTM, gates in PyTorch's order one below the other.

    Attributes:
        onto_input: [4H, E].
        onto_hidden: [4H, H].
        biases: two of [4H], which are added, or none.
    """

    onto_input: Tensor
    onto_hidden: Tensor
    biases: tuple[Tensor, ...]

    @classmethod
    def of(cls, layer: nn.LSTM) -> LstmWeights:
        """Read them from the layer."""
        biases = ("bias_ih_l0", "bias_hh_l0") if layer.bias else ()
        return cls(
            onto_input=layer.get_parameter("weight_ih_l0"),
            onto_hidden=layer.get_parameter("weight_hh_l0"),
            biases=tuple(layer.get_parameter(name) for name in biases),
        )

    def joint(self) -> Tensor:
        """[E + H (+ 1), 4H]: what a row [x, h, 1] is multiplied by, the cell gate's share doubled.

        tanh(a) = 2 sigmoid(2a) - 1: with 2a at hand one call does all four gates, and does the
        cell gate several times faster than tanh would.
        """
        parts = [self.onto_input.t(), self.onto_hidden.t()]
        if self.biases:
            parts.append(torch.stack(self.biases).sum(dim=0, keepdim=True))
        weight = torch.cat(parts)
        weight.chunk(4, dim=1)[CELL_GATE].mul_(2)
        return weight


class LstmPass:
    """One LSTM's forward and backward pass over a batch of students.

    Attributes:
        inputs: [time, student, E + H + 1], at t the row [x_t, h_{t-1}, 1]; without the 1 where the
            layer has no bias. None before the forward pass.
        gate_gradients: [time, student, 4H]; None before the backward pass. Both end with the
            longest student and are zero where a student is no longer active.

    Args:
        layer: single-layer, unidirectional, batch first.
        active: how many students, counted from the first, still have an interaction at each time;
            never rises. None where all have one always.
        workspace: gives the buffers.
    """

    def __init__(self, layer: nn.LSTM, active: Sequence[int] | None, workspace: Workspace) -> None:
        self.inputs: Tensor | None = None
        self.gate_gradients: Tensor | None = None
        self._weights = LstmWeights.of(layer)
        self._given = active
        self._active: list[int] = []
        self._take = workspace.take

    def run(self, sequence: Tensor, anchor: Tensor) -> Tensor:
        """The layer's output, differentiable in both arguments.

        Args:
            sequence: [student, time, E], the rows that ``active`` counted.
            anchor: a scalar that requires a gradient; asking for its gradient (there is none)
                makes autograd come through here even where ``sequence`` needs none.

        Returns:
            [student, time, H], zero where a student is no longer active.
        """
        hidden: Tensor = _Recurrence.apply(sequence, anchor, self)  # type: ignore[no-untyped-call]
        return hidden

    def forward(self, sequence: Tensor) -> Tensor:
        """Walk through time with one product a step; see ``run`` for shapes."""
        students, steps, width = sequence.shape
        self._students = students
        size = self._weights.onto_hidden.shape[1]
        given = [students] * steps if self._given is None else self._given[:steps]
        self._active = [count for count in given if count > 0]
        walked = len(self._active)
        weight = self._weights.joint()
        inputs = self._take("inputs", (walked, students, len(weight)), sequence)
        gates = self._take("gates", (walked, students, 4 * size), sequence)
        cells = self._take("cells", (walked + 1, students, size), sequence)
        squashed = self._take("squashed", (walked, students, size), sequence)
        hidden = sequence.new_zeros(steps, students, size)
        inputs[:, :, :width].copy_(sequence[:, :walked].transpose(0, 1))
        inputs[:1, :, width : width + size] = 0
        inputs[:, :, width + size :] = 1
        cells[0] = 0
        for t, count in enumerate(self._active):
            gate, cell, tanh = gates[t, :count], cells[t + 1, :count], squashed[t, :count]
            torch.mm(inputs[t, :count], weight, out=gate)
            keep, forget, new, output = gate.sigmoid_().chunk(4, dim=1)
            new.mul_(2).sub_(1)
            torch.mul(forget, cells[t, :count], out=cell)
            cell.addcmul_(keep, new)
            torch.mul(cell, 2, out=tanh).sigmoid_().mul_(2).sub_(1)
            torch.mul(output, tanh, out=hidden[t, :count])
            if t + 1 < walked:
                inputs[t + 1, :count, width : width + size] = hidden[t, :count]
            inputs[t, count:] = 0
        self.inputs, self._gates, self._cells, self._squashed = inputs, gates, cells, squashed
        return hidden.transpose(0, 1)

    def backward(self, from_hidden: Tensor, *, sequence_too: bool) -> Tensor | None:
        """Walk back, turning the stored gates into their gradients in place.

        Args:
            from_hidden: [student, time, H], gradient at the output.
            sequence_too: whether the gradient at the input sequence is wanted.

        Returns:
            [student, time, E], gradient at the input sequence, where wanted.

        Raises:
            ValueError: a loss depends on the output after a student's last interaction.
        """
        students, steps, size = from_hidden.shape
        self._require_no_loss_after_the_end(from_hidden)
        weight, width = self._weights.onto_hidden, 0
        if sequence_too:
            width = self._weights.onto_input.shape[1]
            weight = torch.cat([self._weights.onto_input, weight], dim=1)  # [4H, E + H]
        below = self._take("below", (steps, students, width + size), from_hidden)
        joint = self._take("joint", (students, 4 * size), from_hidden)
        scratch = self._take("scratch", (students, size), from_hidden)
        onto_cell = from_hidden.new_zeros(students, size)
        onto_hidden = from_hidden.new_zeros(students, size)
        both = slice(None, 2 * size)  # input and forget gate: same nonlinearity, one call
        for t in reversed(range(len(self._active))):
            count = self._active[t]
            gate, before = self._gates[t, :count], joint[:count]
            keep, forget, new, output = gate.chunk(4, dim=1)
            before_keep, before_forget, before_new, before_output = before.chunk(4, dim=1)
            tanh, cell, spare = self._squashed[t, :count], onto_cell[:count], scratch[:count]
            onto = onto_hidden[:count].add_(from_hidden[:count, t])
            torch.mul(onto, output, out=spare)
            _tanh_backward(spare, tanh, grad_input=spare)
            cell.add_(spare)
            torch.mul(onto, tanh, out=before_output)
            torch.mul(cell, new, out=before_keep)
            torch.mul(cell, self._cells[t, :count], out=before_forget)
            torch.mul(cell, keep, out=before_new)
            cell.mul_(forget)
            _sigmoid_backward(before[:, both], gate[:, both], grad_input=gate[:, both])
            _tanh_backward(before_new, new, grad_input=new)
            _sigmoid_backward(before_output, output, grad_input=output)
            torch.mm(gate, weight, out=below[t, :count])
            onto_hidden[:count] = below[t, :count, width:]
            self._gates[t, count:] = 0
            below[t, count:] = 0
        below[len(self._active) :] = 0
        self.gate_gradients = self._gates
        return below[:, :, :width].transpose(0, 1) if sequence_too else None

    def steps(self) -> list[int]:
        """[student]: how many steps each was walked; never rises."""
        return self._steps().tolist()

    def _steps(self) -> Tensor:
        """int64 [student]."""
        active = torch.tensor(self._active, dtype=torch.int64)
        return (active > torch.arange(self._students)[:, None]).sum(dim=1)

    def _require_no_loss_after_the_end(self, from_hidden: Tensor) -> None:
        """The output was cut off there, so a loss that reads it would be silently wrong."""
        positions = torch.arange(from_hidden.shape[1])
        ended = positions >= self._steps()[:, None]  # [student, time]
        if not ended.any():
            return
        late = from_hidden[ended.to(from_hidden.device)]
        if (late.ne(0) & late.isfinite()).any():
            raise ValueError("a loss depends on a position after its student's length")


class _Recurrence(torch.autograd.Function):
    """Ties an ``LstmPass`` into autograd's graph; once."""

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, _: Tensor, passed: LstmPass) -> Tensor:
        ctx.passed = passed
        return passed.forward(sequence)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_hidden: Tensor) -> tuple[Tensor | None, None, None]:
        below = ctx.passed.backward(from_hidden, sequence_too=ctx.needs_input_grad[0])
        return below, None, None
