"""A model's parameters as one flat vector, and the fingerprint of its shape.

The vector is what crosses the boundary. Its order is that of ``model.named_parameters()``; two
sides whose fingerprints agree mean the same thing by every number in it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from fedtrace.models.networks import KnowledgeModel

Vector = npt.NDArray[np.float32]
Schema = tuple[tuple[str, tuple[int, ...]], ...]


def schema(model: nn.Module) -> Schema:
    """Name and shape of every parameter, in the vector's order."""
    return tuple((name, tuple(value.shape)) for name, value in model.named_parameters())


def fingerprint(model: nn.Module | Schema) -> str:
    """``sha256:<hex>`` over names, shapes and order.

    The hashed bytes are compact JSON: ``[["easiness.weight",[137,1]],...]``.
    """
    described = schema(model) if isinstance(model, nn.Module) else model
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def to_vector(model: nn.Module) -> Vector:
    """float32 [parameters]: a copy of all parameters."""
    with torch.no_grad():
        vector: Vector = parameters_to_vector(model.parameters()).numpy().astype(np.float32)
    return vector


def from_vector(model: nn.Module, vector: npt.NDArray[np.floating]) -> None:
    """Load ``vector``, float32 [parameters], into the model.

    Raises:
        ValueError: another size than the model's, or a value that is not finite. The model is
            then unchanged.
    """
    expected = sum(parameter.numel() for parameter in model.parameters())
    if vector.shape != (expected,):
        raise ValueError(
            f"the model has {expected} parameters, the vector's shape is {vector.shape}"
        )
    values = torch.from_numpy(vector.astype(np.float32))
    if not values.isfinite().all():
        raise ValueError("the vector holds a value that is not finite")
    with torch.no_grad():
        start = 0
        for parameter in model.parameters():
            part = values[start : start + parameter.numel()]
            parameter.copy_(part.view_as(parameter))
            start += parameter.numel()


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillRows:
    """A stretch of the flat vector that is a table with one row a skill.

    Attributes:
        name: the parameter's name.
        start: index of the table's first value in the vector.
        skills: rows of the table, one a skill of the catalogue, in its order.
        width: values a row.
    """

    name: str
    start: int
    skills: int
    width: int

    def view(self, vector: Vector) -> Vector:
        """[skills, width]: the table inside ``vector``, sharing its memory."""
        return vector[self.start : self.start + self.skills * self.width].reshape(
            self.skills, self.width
        )


def skill_rows(model: KnowledgeModel) -> tuple[SkillRows, ...]:
    """The tables of the vector in which each row belongs to one skill.

    A school that never taught a skill has nothing to say about its rows; averaging them with a
    weight for support keeps it from pulling them towards their old values.
    """
    tables = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
    }
    rows, start = [], 0
    for name, value in model.named_parameters():
        if name in tables:
            width = value.numel() // model.skills  # two rows a skill where answers are embedded
            rows.append(SkillRows(name=name, start=start, skills=model.skills, width=width))
        start += value.numel()
    return tuple(rows)
