"""``noise``: is what the two mechanisms add really the noise that was paid for?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from fedtrace.deploy.attacks.finding import AttackReport, AttackSettings, Finding, claim, control
from fedtrace.privacy.attacks.noise_tests import FALSE_ALARM_RATE, noise_p_values, suspicious
from fedtrace.privacy.discrete import NoiseShare
from fedtrace.privacy.noise import gaussian_on_grid, grid_noise_stddev
from fedtrace.privacy.randomness import FloatArray, RandomSource, SeededRandom

SCHOOLS, ROUNDS, NUMBERS = 8, 16, 4000
SCHOOLS_SHORT, ROUNDS_SHORT, NUMBERS_SHORT = 3, 4, 4000
CLIPPING_NORM, NOISE_MULTIPLIER, STUDENTS = 0.05, 2.0, 1000
LOST_SCALE = 0.97
"""The noise of one control is 3 % narrower than what was paid for."""

Release = Callable[[FloatArray, RandomSource, float], FloatArray]
"""A sum, noise and noise multiplier -> what is released over the standard deviation it claims."""


class _Repeating(SeededRandom):
    """A generator that starts from the same seed for every request."""

    def _fresh_key(self) -> bytes:
        self._requests = 0
        return super()._fresh_key()


class _Coarse(SeededRandom):
    """A generator of which only the first three bits of each half word change."""

    def blocks(self, count: int) -> Iterator[npt.NDArray[np.uint64]]:
        """The words of `SeededRandom`, without their other bits."""
        for words in super().blocks(count):
            yield words & np.uint64(0xE000_0000_E000_0000)


def attack_noise(settings: AttackSettings) -> AttackReport:
    """Test the noise of both trust modes, and three generators that are wrong on purpose.

    Epsilon does not matter here: every epsilon scales the same numbers.
    """
    seed = settings.students_seed
    source = settings.source()
    shape = (SCHOOLS, ROUNDS, NUMBERS)
    if settings.short:
        shape = (SCHOOLS_SHORT, ROUNDS_SHORT, NUMBERS_SHORT)
    mechanisms: Mapping[str, Release] = {"local": _local, "distributed": _distributed(shape[0])}
    findings: list[Finding] = []
    numbers: dict[str, float] = {}
    controls: list[Finding] = []
    for mode, release in mechanisms.items():
        p_values = noise_p_values(_released(release, shape, source, NOISE_MULTIPLIER))
        numbers |= {f"{mode}_p_{test.replace(' ', '_')}": p for test, p in p_values.items()}
        odd = suspicious(p_values)
        test, least = min(p_values.items(), key=lambda item: item[1])
        findings.append(
            claim(
                f"Trust mode {mode}: the smallest p-value of {len(p_values)} tests is {least:.2g} "
                f"({test}); {_list(odd)} failed.",
                holds=not odd,
            )
        )
        wrong: dict[str, tuple[RandomSource, float]] = {
            "repeated": (_Repeating(seed), NOISE_MULTIPLIER),
            "too narrow": (SeededRandom(seed), LOST_SCALE * NOISE_MULTIPLIER),
            "coarse": (_Coarse(seed), NOISE_MULTIPLIER),
        }
        for name, (broken, noise_multiplier) in wrong.items():
            odd = suspicious(noise_p_values(_released(release, shape, broken, noise_multiplier)))
            controls.append(
                control(f"Trust mode {mode}, noise {name}: {_list(odd)} failed.", breaks=bool(odd))
            )
            numbers[f"control_{mode}_{name.replace(' ', '_')}_failed"] = len(odd)
    schools, rounds, size = shape
    return AttackReport(
        attack="noise",
        tried=(
            f"{schools} schools released {size} numbers in each of {rounds} rounds, and nobody "
            "took part: what is left is noise. Its scale, its shape and its independence of other "
            "schools, rounds and numbers were tested."
        ),
        bound=f"Right noise fails any of the tests with probability {FALSE_ALARM_RATE:g}.",
        findings=(*findings, *controls),
        numbers=numbers,
    )


def _list(tests: list[str]) -> str:
    return ", ".join(tests) if tests else "none"


def _released(
    release: Release, shape: tuple[int, int, int], source: RandomSource, noise_multiplier: float
) -> npt.NDArray[np.float64]:
    """float64 [schools, rounds, numbers]: noise over the standard deviation that is claimed."""
    schools, rounds, size = shape
    empty = np.zeros(size)
    return np.array(
        [[release(empty, source, noise_multiplier) for _ in range(rounds)] for _ in range(schools)]
    )


def _local(total: FloatArray, source: RandomSource, noise_multiplier: float) -> FloatArray:
    """What a school releases in trust mode `local`."""
    claimed = grid_noise_stddev(
        clipping_norm=CLIPPING_NORM, noise_multiplier=NOISE_MULTIPLIER, parameters=len(total)
    )
    released = gaussian_on_grid(
        total, clipping_norm=CLIPPING_NORM, noise_multiplier=noise_multiplier, source=source
    )
    return released / claimed


def _distributed(schools: int) -> Release:
    """What a school puts under its mask in trust mode `distributed`."""

    def release(total: FloatArray, source: RandomSource, noise_multiplier: float) -> FloatArray:
        def share(multiplier: float) -> NoiseShare:
            return NoiseShare.of(
                clipping_norm=CLIPPING_NORM,
                noise_multiplier=multiplier,
                size=len(total),
                planned_students=STUDENTS,
                members=schools,
                quorum=schools,
                colluding=0,
            )

        return share(noise_multiplier).protect(total, source) / share(NOISE_MULTIPLIER).stddev_steps

    return release
