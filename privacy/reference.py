"""The oracle of the clipped sum: every student's whole gradient, laid out; slow, obviously right.

Memory is [student, parameters], so it serves small questions and the proof that
``fedtrace.privacy.engine`` is exact. Two independent ways to the per-student gradients: a loop of
ordinary backward passes over one batch, and ``torch.func`` where each student is their own batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedtrace.privacy.noise import require_clipping_norm


def looped_gradients(module: nn.Module, losses: Callable[[], Tensor]) -> Tensor:
    """One backward pass a student, each through the whole batch.

    Args:
        module: any module, of any layers.
        losses: runs it and returns one loss a student, [student].

    Returns:
        [student, parameters] in the order of ``module.parameters()``.
    """
    parameters = list(module.parameters())
    values = losses()
    rows = [values.new_zeros(0, sum(parameter.numel() for parameter in parameters))]
    for value in values:
        gradients = torch.autograd.grad(
            value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([gradient.flatten() for gradient in gradients])[None])
    return torch.cat(rows)


def vectorised_gradients(
    module: nn.Module, loss: Callable[..., Tensor], *examples: Tensor
) -> Tensor:
    """Per-student gradients by ``torch.func.vmap``, each student alone in the batch.

    Nobody else being there, no student can have touched another's gradient.

    Args:
        module: layers that ``vmap`` supports (not ``nn.LSTM``).
        loss: from a function that stands for the module and one student's tensors, to the loss.
        examples: tensors [student, ...].

    Returns:
        [student, parameters] in the order of ``module.parameters()``.
    """
    parameters = {name: value.detach() for name, value in module.named_parameters()}

    def alone(given: dict[str, Tensor], *example: Tensor) -> Tensor:
        return loss(lambda *inputs: functional_call(module, given, inputs), *example)

    in_dims = (None, *(0 for _ in examples))
    gradients = vmap(grad(alone), in_dims=in_dims)(parameters, *examples)
    return torch.cat([gradients[name].flatten(1) for name in parameters], dim=1)


def clipped_sum(gradients: Tensor, *, clipping_norm: float) -> tuple[Tensor, Tensor]:
    """Scale every row down to norm C and add them up (Abadi et al. 2016, algorithm 1).

    Args:
        gradients: [student, parameters].
        clipping_norm: C.

    Returns:
        The sum, [parameters], where a row with a NaN or infinity counts as zero; and the norms,
        [student].

    Raises:
        ValueError: a clipping norm that is not positive and finite.
    """
    require_clipping_norm(clipping_norm)
    norms = torch.linalg.vector_norm(gradients, dim=1)
    total = gradients.new_zeros(gradients.shape[1])
    for gradient, norm in zip(gradients, norms, strict=True):
        if norm.isfinite():
            total += gradient / max(1.0, float(norm) / clipping_norm)
    return total, norms
