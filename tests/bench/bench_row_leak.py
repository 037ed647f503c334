"""What an attacker reads off one student's update, with and without protection."""

from __future__ import annotations

from support.measurement import Measurement

from fedtrace.deploy.attacks.row_leak import leaked_fractions
from fedtrace.privacy.randomness import SeededRandom

STUDENTS = 200


def run() -> list[Measurement]:
    """The recovered share of a student's (skill, right or wrong) pairs; ratio is to chance."""
    cases = {
        "unprotected": (None, 0.0),
        "clip 1, no noise": (1.0, 0.0),
        "clip 1, z 0.5": (1.0, 0.5),
        "clip 1, z 1": (1.0, 1.0),
        "clip 0.01, which every student exceeds, z 0.5": (0.01, 0.5),
    }
    measurements = []
    for seed, (label, (clipping_norm, noise_multiplier)) in enumerate(cases.items()):
        leak = leaked_fractions(
            students=STUDENTS,
            clipping_norm=clipping_norm,
            noise_multiplier=noise_multiplier,
            source=SeededRandom(seed),
        )
        measurements.append(
            Measurement(
                name=f"row leak/recovered, {label}",
                value=leak.recovered,
                unit="share",
                spread=leak.error,
                baseline="blind guessing",
                ratio=leak.recovered / leak.chance,
            )
        )
    return measurements


if __name__ == "__main__":
    for measured in run():
        print(measured)
