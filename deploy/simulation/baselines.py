"""What a private model is compared with: no federation, no privacy, or neither.

All of it happens in one process on data that a real consortium could never bring together. Every
opponent is made as strong as its kind allows, because beating a weak one says nothing:

``local_only``           each school alone, with everything that ``fedtrace.models.personal`` can do
                         without a released model; the same whatever the architecture
``centralised``          one model on everybody's pooled records
``federated``            each round every school sends the exact gradient of its own students, and
                         the server takes an Adam step: what full participation without clipping
                         and noise would give. A skill that a school never teaches has a zero
                         gradient there, so nobody averages another school's knowledge away.
``federated_finetuned``  that model, then fitted on by each school with a pull towards it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from fedtrace.deploy.report.model import Condition, ConditionScores
from fedtrace.deploy.simulation.personalised import personalised
from fedtrace.deploy.simulation.scoring import condition_scores
from fedtrace.deploy.simulation.split import MAX_SEQUENCE, SchoolSplit
from fedtrace.models.fitting import (
    Pull,
    count_predictions,
    fit,
    fit_full_batch,
    gradient,
    prepared_batches,
)
from fedtrace.models.interactions import Batch, Interactions
from fedtrace.models.metrics import predict
from fedtrace.models.networks import (
    DKT,
    Architecture,
    KnowledgeModel,
    ModelSpec,
    ResidualDKT,
    build,
)
from fedtrace.models.parameters import Vector, from_vector, to_vector

Tick = Callable[[], None]
"""Told after every piece of work."""

_ROWS_PER_PASS = 64
_ADAM = (0.9, 0.99, 1e-6)
_EPOCH_ROWS = 32
Phases = tuple[tuple[float, int], ...]
"""(Learning rate, passes over the data) of minibatch Adam, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """How one architecture is trained without privacy.

    Attributes:
        width: of embedding and LSTM state; more than noise would allow.
        embedding_stddev: of a fresh network's (skill, answer) embeddings; small ones overfit later.
        prior: precision of the prior around zero, pooled or federated.
        rounds: of the federation.
        learning_rate: of the server's Adam; falls to zero over the rounds.
        pull: precision of the pull towards the global model in fine-tuning.
        phases: of training by minibatches on pooled records; empty for the logistic models, whose
            exact optimum is found.
        finetune_phases: likewise for fine-tuning.
    """

    width: int = 1
    embedding_stddev: float = 1.0
    prior: float
    rounds: int
    learning_rate: float
    pull: float
    phases: Phases = ()
    finetune_phases: Phases = ()


_LOGISTIC = BaselineSettings(prior=0.3, rounds=100, learning_rate=0.1, pull=3)
SETTINGS: Mapping[Architecture, BaselineSettings] = MappingProxyType(
    {
        "dkt": BaselineSettings(
            width=64,
            embedding_stddev=0.1,
            prior=3,
            rounds=80,
            learning_rate=0.03,
            pull=5,
            phases=((0.01, 5), (0.003, 5), (0.001, 4)),
            finetune_phases=((0.003, 5),),
        ),
        "residual-dkt": BaselineSettings(
            width=16,
            prior=10,
            rounds=100,
            learning_rate=0.02,
            pull=15,
            phases=((0.01, 6), (0.003, 6)),
            finetune_phases=((0.003, 5),),
        ),
        "pfa": BaselineSettings(prior=1, rounds=100, learning_rate=0.05, pull=5),
        "shared-logistic": _LOGISTIC,
        "shared-logistic-2": _LOGISTIC,
    }
)
"""Set in some twenty trials, DKT's on validation students; docs/measurements.md has the results."""


def compare(
    splits: Mapping[str, SchoolSplit], spec: ModelSpec, *, seed: int, tick: Tick = lambda: None
) -> dict[Condition, ConditionScores]:
    """Train every opponent on the same split and judge it on the same test students.

    Args:
        splits: school -> its students by fold.
        spec: architecture and catalogue; the widths are this module's own.
        seed: of initial parameters and the order of minibatches.
        tick: for showing progress.
    """
    settings = SETTINGS[spec.architecture]
    wide = replace(spec, hidden_size=settings.width, embedding_size=settings.width)
    bench = _Bench(splits, wide, settings, seed, tick)
    shared = bench.federated()
    return {
        "federated": bench.judge(dict.fromkeys(splits, shared)),
        "federated_finetuned": bench.judge(bench.finetuned(shared)),
        "local_only": personalised(splits, None, spec.skills, seed=seed, tick=tick),
        "centralised": bench.judge(dict.fromkeys(splits, bench.centralised())),
    }


@dataclass(frozen=True, slots=True)
class _Bench:
    """One split and one architecture; every method returns parameters."""

    splits: Mapping[str, SchoolSplit]
    spec: ModelSpec
    settings: BaselineSettings
    seed: int
    tick: Tick

    def federated(self) -> Vector:
        """Exact gradients, server Adam (Kingma and Ba 2015), mean of the last third."""
        model, settings = self._fresh(), self.settings
        data = [self._prepared(model, split.train) for split in self.splits.values()]
        total = sum(count_predictions(batches) for batches in data)
        beta1, beta2, stability = _ADAM
        parameters = to_vector(model).astype(np.float64)
        first, second = np.zeros_like(parameters), np.zeros_like(parameters)
        kept: list[npt.NDArray[np.float64]] = []
        for step in range(1, settings.rounds + 1):
            from_vector(model, parameters)
            sent = [gradient(model, batches).astype(np.float64) for batches in data if batches]
            slope = (np.sum(sent, axis=0) + settings.prior * parameters) / total
            first = beta1 * first + (1 - beta1) * slope
            second = beta2 * second + (1 - beta2) * slope**2
            size = settings.learning_rate * (1 - (step - 1) / settings.rounds)
            direction = (first / (1 - beta1**step)) / (
                np.sqrt(second / (1 - beta2**step)) + stability
            )
            parameters = parameters - size * direction
            if step > settings.rounds - settings.rounds // 3:
                kept.append(parameters)
            self.tick()
        mean: Vector = np.mean(kept, axis=0).astype(np.float32)
        return mean

    def centralised(self) -> Vector:
        """Everybody's training students pooled."""
        model = self._fresh()
        everyone = Interactions.concatenate([split.train for split in self.splits.values()])
        zero = np.zeros_like(to_vector(model))
        pull = Pull(towards=zero, strength=self.settings.prior)
        self._descend(model, everyone, pull, self.settings.phases)
        return to_vector(model)

    def finetuned(self, shared: Vector) -> dict[str, Vector]:
        """One model a school, from the shared one with a pull towards it."""
        found = {}
        for name, split in self.splits.items():
            model = self._fresh()
            from_vector(model, shared)
            pull = Pull(towards=shared, strength=self.settings.pull)
            self._descend(model, split.train, pull, self.settings.finetune_phases)
            found[name] = to_vector(model)
            self.tick()
        return found

    def judge(self, models: Mapping[str, Vector]) -> ConditionScores:
        """Each school's model on its own test students."""
        model = self._fresh()
        predictions = {}
        for name, parameters in models.items():
            from_vector(model, parameters)
            logits, correct, _ = predict(model, self.splits[name].test, MAX_SEQUENCE)
            predictions[name] = (logits, correct)
        return condition_scores(
            predictions, students={name: len(split.test) for name, split in self.splits.items()}
        )

    def _fresh(self) -> KnowledgeModel:
        model = build(self.spec, seed=self.seed)
        if isinstance(model, DKT | ResidualDKT):
            with torch.no_grad():
                model.answered.weight.mul_(self.settings.embedding_stddev)
        return model

    def _prepared(self, model: KnowledgeModel, students: Interactions) -> Sequence[Batch]:
        return prepared_batches(
            model, students, batch_rows=_ROWS_PER_PASS, max_sequence=MAX_SEQUENCE
        )

    def _descend(
        self, model: KnowledgeModel, students: Interactions, pull: Pull, phases: Phases
    ) -> None:
        """Minibatch Adam for networks; the exact optimum where the logit is linear."""
        if not phases:
            fit_full_batch(model, students, iterations=100, max_sequence=MAX_SEQUENCE, pull=pull)
            return
        for number, (learning_rate, epochs) in enumerate(phases):
            fit(
                model,
                students,
                epochs=epochs,
                learning_rate=learning_rate,
                batch_rows=_EPOCH_ROWS,
                max_sequence=MAX_SEQUENCE,
                seed=self.seed + number,
                pull=pull,
            )
