"""What every network keeps: causality, independent rows, layers the privacy engine knows."""

import numpy as np
import pytest
import torch
from support.students import made_up_students
from torch import nn

from fedtrace.models.interactions import Interactions, to_batch
from fedtrace.models.networks import (
    ARCHITECTURES,
    Architecture,
    KnowledgeModel,
    LinearBase,
    ModelSpec,
    ResidualDKT,
    build,
    student_losses,
)
from fedtrace.models.parameters import to_vector

SKILLS = 6


def spec(architecture: Architecture) -> ModelSpec:
    return ModelSpec(architecture=architecture, skills=SKILLS, hidden_size=5, embedding_size=4)


def trained_somewhere(architecture: Architecture) -> KnowledgeModel:
    """A network away from the zeros that some start from."""
    model = build(spec(architecture), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@every_architecture
def test_equal_seeds_build_equal_networks_whatever_ran_before(architecture: Architecture) -> None:
    first = to_vector(build(spec(architecture), seed=3))
    torch.rand(7)

    assert np.array_equal(first, to_vector(build(spec(architecture), seed=3)))


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build(spec("dkt"), seed=3)

    assert torch.equal(before, torch.get_rng_state())


@every_architecture
def test_a_prediction_depends_on_the_past_and_the_skill_asked(architecture: Architecture) -> None:
    model = trained_somewhere(architecture)
    students = made_up_students([12], skills=SKILLS)
    changed = Interactions(
        skills=students.skills,
        correct=np.concatenate([students.correct[:7], 1 - students.correct[7:]]),
        offsets=students.offsets,
    )

    before, after = model(to_batch(students))[0], model(to_batch(changed))[0]

    assert torch.equal(before[:8], after[:8])
    assert (before[8:] != after[8:]).any()


@every_architecture
def test_a_row_alone_predicts_as_it_does_among_others(architecture: Architecture) -> None:
    model = trained_somewhere(architecture)
    students = made_up_students([4, 11, 7], skills=SKILLS)

    together = model(to_batch(students))

    for row, length in enumerate(students.lengths):
        alone = model(to_batch(students.select([row])))[0]
        torch.testing.assert_close(together[row, :length], alone, atol=1e-6, rtol=1e-5)


@every_architecture
def test_features_computed_before_change_nothing(architecture: Architecture) -> None:
    model = trained_somewhere(architecture)
    batch = to_batch(made_up_students([9, 3], skills=SKILLS))

    assert torch.equal(model(batch), model(model.prepare(batch)))


@every_architecture
def test_parameters_sit_in_layers_that_the_engine_books_each_called_once(
    architecture: Architecture,
) -> None:
    model = build(spec(architecture), seed=0)
    calls: dict[str, int] = {}
    leaves = {name: leaf for name, leaf in model.named_modules() if not list(leaf.children())}
    for name, leaf in leaves.items():
        leaf.register_forward_hook(
            lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
        )

    model(to_batch(made_up_students([5, 2], skills=SKILLS)))

    assert all(type(leaf) in {nn.Embedding, nn.Linear, nn.LSTM} for leaf in leaves.values())
    assert calls == dict.fromkeys(leaves, 1)
    in_leaves = sum(value.numel() for leaf in leaves.values() for value in leaf.parameters())
    assert in_leaves == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("architecture", ["shared-logistic", "shared-logistic-2"])
def test_the_shared_logistic_has_nineteen_shared_weights_a_level_and_five_a_skill(
    architecture: Architecture,
) -> None:
    assert len(to_vector(build(spec(architecture), seed=0))) == 19 + 1 + 5 * SKILLS


def test_residual_dkt_starts_as_its_base() -> None:
    residual = build(spec("residual-dkt"), seed=0)
    base = LinearBase(SKILLS)
    assert isinstance(residual, ResidualDKT)
    with torch.no_grad():
        for own, alone in zip(residual.base.parameters(), base.parameters(), strict=True):
            own.fill_(0.3)
            alone.fill_(0.3)
    batch = to_batch(made_up_students([8], skills=SKILLS))

    assert torch.equal(residual(batch), base(batch))


@every_architecture
def test_losses_are_one_a_row_and_zero_without_a_prediction(architecture: Architecture) -> None:
    model = trained_somewhere(architecture)
    students = made_up_students([6, 1, 0, 3], skills=SKILLS)

    losses = student_losses(model, to_batch(students))

    assert losses[1] == losses[2] == 0
    alone = student_losses(model, to_batch(students.select([3])))
    torch.testing.assert_close(losses[3], alone[0])


def test_what_no_network_can_be_built_from_is_refused() -> None:
    with pytest.raises(ValueError, match="skills is at least 1, not 0"):
        ModelSpec(architecture="dkt", skills=0, hidden_size=1, embedding_size=1)
    with pytest.raises(ValueError, match="unknown architecture 'gpt'"):
        ModelSpec(architecture="gpt", skills=1, hidden_size=1, embedding_size=1)  # type: ignore[arg-type]
