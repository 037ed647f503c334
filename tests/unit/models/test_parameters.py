"""The flat vector: exact both ways, refused when it does not fit, and where skills live in it."""

import numpy as np
import pytest

from fedtrace.models.networks import ARCHITECTURES, Architecture, ModelSpec, build
from fedtrace.models.parameters import fingerprint, from_vector, schema, skill_rows, to_vector


def spec(architecture: Architecture = "dkt", skills: int = 6) -> ModelSpec:
    return ModelSpec(architecture=architecture, skills=skills, hidden_size=5, embedding_size=4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_vector_goes_in_and_comes_out(architecture: Architecture) -> None:
    model = build(spec(architecture), seed=0)
    values = np.arange(to_vector(model).size, dtype=np.float32)

    from_vector(model, values)

    assert np.array_equal(to_vector(model), values)


def test_the_model_and_the_vector_share_no_memory() -> None:
    model = build(spec(), seed=0)
    values = np.ones(to_vector(model).size, dtype=np.float32)
    from_vector(model, values)

    values[:] = 7
    to_vector(model)[:] = 8

    assert (to_vector(model) == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_are_not_finite_are_refused_and_change_nothing(bad: float) -> None:
    model = build(spec(), seed=0)
    before = to_vector(model)
    values = np.zeros(before.size, dtype=np.float64)
    values[3] = bad

    with np.errstate(over="ignore"), pytest.raises(ValueError, match="not finite"):
        from_vector(model, values)

    assert np.array_equal(to_vector(model), before)


@pytest.mark.parametrize("change", [-1, 1])
def test_another_size_is_refused(change: int) -> None:
    model = build(spec(), seed=0)
    size = to_vector(model).size

    with pytest.raises(ValueError, match=f"the model has {size} parameters"):
        from_vector(model, np.zeros(size + change, dtype=np.float32))


def test_fingerprints_tell_shapes_apart_and_ignore_values() -> None:
    first = build(spec(), seed=0)

    assert fingerprint(first) == fingerprint(build(spec(), seed=1)) == fingerprint(schema(first))
    others = {fingerprint(build(spec(name), seed=0)) for name in ARCHITECTURES}
    assert len(others | {fingerprint(build(spec(skills=7), seed=0))}) == 5
    assert fingerprint(first).startswith("sha256:")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_rows_of_skills_that_were_met_move(architecture: Architecture) -> None:
    model = build(spec(architecture), seed=0)
    vector = np.zeros_like(to_vector(model))
    tables = skill_rows(model)
    for table in tables:
        assert table.view(vector).shape == (6, table.width)
        table.view(vector)[2] = 1  # a view: writes through

    from_vector(model, vector)

    named = dict(model.named_parameters())
    for table in tables:
        per_skill = named[table.name].detach().numpy().reshape(6, -1)
        assert (per_skill[2] == 1).all()
        assert not np.delete(per_skill, 2, axis=0).any()
    assert vector.sum() == sum(table.width for table in tables)
