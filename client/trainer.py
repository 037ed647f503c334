"""Local training in a school: the models on one side, the privacy engine on the other.

One call makes one private update or one private evaluation. Everything here sees student rows;
what it returns has been clipped and noised and is the first value of a round that may leave.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch

from fedtrace.client.summing import student_sums
from fedtrace.governance.plan import Plan, RoundKind
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.models.interactions import Interactions
from fedtrace.models.metrics import predict
from fedtrace.models.networks import KnowledgeModel, ModelSpec, build
from fedtrace.models.parameters import fingerprint, from_vector
from fedtrace.privacy.discrete import NoiseShare
from fedtrace.privacy.histograms import noised, score_histograms
from fedtrace.privacy.noise import add_gaussian_noise
from fedtrace.privacy.randomness import RandomSource, poisson_sample

ROUNDING_SLACK = 1e-3
"""Relative: sums of a thousand clipped vectors in float32 are off by less than a tenth of it."""


def model_spec(plan: Plan) -> ModelSpec:
    """The architecture that a plan names, in the words of ``fedtrace.models``."""
    return ModelSpec(
        architecture=plan.model.architecture,
        skills=plan.data.skills,
        hidden_size=plan.model.hidden_size,
        embedding_size=plan.model.embedding_size,
    )


class Trainer:
    """Trains and evaluates one plan's model on the students of one school.

    The model is built once and reused for every round; a round only loads new parameters.

    Args:
        plan: The accepted plan; it names the model, the clipping norm, the noise and the rate.
        source: Where coins and noise come from; the OS generator outside tests.
    """

    def __init__(self, plan: Plan, *, source: RandomSource) -> None:
        self._plan = plan
        self._source = source
        spec = model_spec(plan)
        self._model: KnowledgeModel = build(spec, seed=0)
        self._sums = student_sums(self._model, spec)

    @property
    def engine(self) -> str:
        """What computes the clipped sums, for reports: ``compiled (avx2)`` or ``torch``."""
        return self._sums.name

    @property
    def schema_fingerprint(self) -> str:
        """What the installed code builds for this plan; must be what the plan describes."""
        return fingerprint(self._model)

    def private_update(self, parameters: np.ndarray, students: Interactions) -> np.ndarray:
        """One noised sum of clipped per-student updates: the school's contribution to a round.

        Every student takes part with probability q, with one window of their interactions,
        and moves the sum by at most the clipping norm C. An empty sample is a normal round: the
        result is then noise alone, and nobody can tell.

        Args:
            parameters: float32 [parameters], the checkpoint of the round before.
            students: the frozen cohort, one entry a student.

        Returns:
            float32 [parameters]: the sum of the students' clipped negative loss gradients, plus
            Gaussian noise of standard deviation z * C (Abadi et al. 2016, algorithm 1, with the
            division by a public number left to the server).

        Raises:
            ValueError: ``parameters`` do not fit the plan's model.
            Refused: R21, the engine broke its bound.
        """
        privacy = self._plan.privacy
        return add_gaussian_noise(
            self._clipped_sum(parameters, students),
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            source=self._source,
        )

    def update_share(self, parameters: np.ndarray, students: Interactions) -> np.ndarray:
        """The same sum for a secure sum: on the grid, with this school's share of the noise.

        Returns:
            int64 [parameters], in grid steps. The noise hides a student only together with the
            others' shares, so this leaves the school under a mask and no other way.

        Raises:
            ValueError: ``parameters`` do not fit the plan's model.
            Refused: R21, the engine broke its bound.
        """
        return self._share("train", self._clipped_sum(parameters, students))

    def _clipped_sum(self, parameters: np.ndarray, students: Interactions) -> np.ndarray:
        """float64 [parameters]: secret."""
        privacy = self._plan.privacy
        from_vector(self._model, parameters)
        taking_part = poisson_sample(len(students), privacy.sampling_rate, self._source)
        # Which window a student contributes is drawn afresh each round from secret coins.
        seed = int.from_bytes(self._source.bytes(16), "little")
        sample = students.select(taking_part).draw_windows(
            self._plan.data.max_sequence, np.random.default_rng(seed)
        )
        total = self._sums.clipped_sum(sample, clipping_norm=privacy.clipping_norm)
        _require_bounded(total, students=len(sample), clipping_norm=privacy.clipping_norm)
        return -total

    def private_histograms(self, parameters: np.ndarray, students: Interactions) -> np.ndarray:
        """Noised score histograms of held-out students, from which the server computes metrics.

        Args:
            parameters: float32 [parameters], the model to judge.
            students: the held-out cohort, one entry a student.

        Returns:
            float64 [2, bins]: predictions for wrong and for right answers. Each student's weight
            has L2 norm at most 1 over both rows, so the sensitivity is 1.

        Raises:
            ValueError: ``parameters`` do not fit the plan's model.
            Refused: R21, the engine broke its bound.
        """
        noise_multiplier = self._plan.evaluation.noise_multiplier
        return noised(self._histograms(parameters, students), noise_multiplier, self._source)

    def histogram_share(self, parameters: np.ndarray, students: Interactions) -> np.ndarray:
        """The same histograms for a secure sum, as `update_share` is for updates.

        Returns:
            int64 [2 * bins], in grid steps: wrong answers, then right ones.

        Raises:
            ValueError: ``parameters`` do not fit the plan's model.
            Refused: R21, the engine broke its bound.
        """
        return self._share("evaluate", self._histograms(parameters, students).ravel())

    def _share(self, kind: RoundKind, total: np.ndarray) -> np.ndarray:
        return NoiseShare.of(**asdict(self._plan.summed(kind))).protect(total, self._source)

    def _histograms(self, parameters: np.ndarray, students: Interactions) -> np.ndarray:
        """float64 [2, bins]: secret."""
        evaluation = self._plan.evaluation
        from_vector(self._model, parameters)
        logits, correct, student = predict(
            self._model, students, max_sequence=self._plan.data.max_sequence
        )
        probabilities = torch.sigmoid(torch.from_numpy(np.asarray(logits, dtype=np.float64)))
        scores = score_histograms(probabilities.numpy(), correct, student, bins=evaluation.bins)
        _require_bounded(scores, students=len(students), clipping_norm=1.0)
        return scores


def _require_bounded(total: np.ndarray, *, students: int, clipping_norm: float) -> None:
    """R21: a sum of so many clipped vectors is within their number times C, and a number.

    Clipping makes anything else impossible, so this guards against a defect of an engine. It looks
    at the sum before the noise, which would hide one.

    Raises:
        Refused: it is not; nothing leaves the school, and the round counts as spent.
    """
    bound = students * clipping_norm * (1 + ROUNDING_SLACK)
    if not float(np.linalg.norm(total)) <= bound:  # also where it is not a number
        raise Refused(RefusalCode.R21)
