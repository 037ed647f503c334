"""One private training step of DKT: our engines, Opacus, and no privacy at all.

All take the same students through the same network and end with one flat gradient in memory.
Single-threaded, interleaved in one process. ``FEDTRACE_DP_STEP=grid`` measures the compiled engine
against ``nn.LSTM`` on every size, which takes a quarter of an hour; otherwise a few sizes stand for
all.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import torch
from bench.dp_steps import CONTESTANTS, StepShape, peak_bytes
from support.measurement import Measurement, interleaved_seconds, spread

from fedtrace.privacy.kernel.library import kernel_available

PLAIN, OPACUS, TORCH, COMPILED = CONTESTANTS
REPETITIONS = 5
MEBIBYTE = 2**20

SMALL = StepShape(students=32, time=50, size=100, skills=124)
SMALL_WIDE = StepShape(students=32, time=50, size=200, skills=124)
MIDDLE_WIDE = StepShape(students=128, time=50, size=200, skills=124)
LARGE = StepShape(students=128, time=200, size=100, skills=124)
LARGE_WIDE = StepShape(students=128, time=200, size=200, skills=1000)
SKEWED = StepShape(students=128, time=200, size=100, skills=124, skewed=True)
SKEWED_WIDE = StepShape(students=128, time=200, size=200, skills=124, skewed=True)
GRID = tuple(
    StepShape(students=students, time=time, size=size, skills=skills)
    for size, time, skills, students in product((100, 200), (50, 200), (124, 1000), (32, 128, 512))
)


def run() -> list[Measurement]:
    """Steps on full-length and on skewed students, and their memory."""
    torch.set_num_threads(1)
    if os.environ.get("FEDTRACE_DP_STEP") == "grid":
        return [each for shape in GRID for each in _steps(shape, [PLAIN, COMPILED])]
    return [
        *_steps(SMALL, [PLAIN, OPACUS, TORCH, COMPILED]),
        *_steps(SMALL_WIDE, [PLAIN, OPACUS, COMPILED]),
        *_steps(MIDDLE_WIDE, [PLAIN, OPACUS, COMPILED]),
        *_steps(LARGE, [PLAIN, OPACUS, TORCH, COMPILED]),
        *_steps(LARGE_WIDE, [PLAIN, COMPILED]),
        *_steps(SKEWED, [PLAIN, TORCH, COMPILED]),
        *_steps(SKEWED_WIDE, [PLAIN, COMPILED]),
        *_memory(SMALL),
        *_memory(LARGE),
    ]


def _steps(shape: StepShape, contestants: Sequence[str]) -> list[Measurement]:
    """Each contestant's time, and each of ours against each of the others'."""
    present = [name for name in contestants if name != COMPILED or kernel_available()]
    ours = [name for name in present if name in (TORCH, COMPILED)]
    others = [name for name in present if name in (PLAIN, OPACUS)]
    seconds = interleaved_seconds(
        {_name(name, shape): CONTESTANTS[name](shape) for name in (*others, *ours)},
        repetitions=REPETITIONS,
    )
    return [
        *(_measurement(seconds, _name(name, shape)) for name in others),
        *(
            _measurement(seconds, _name(mine, shape), baseline=_name(theirs, shape))
            for mine in ours
            for theirs in others
        ),
    ]


def _name(contestant: str, shape: StepShape) -> str:
    return f"dp_step/{contestant} ({shape})"


def _measurement(
    seconds: Mapping[str, list[float]], name: str, *, baseline: str | None = None
) -> Measurement:
    values = [1000 * second for second in seconds[name]]
    ratio = None
    if baseline is not None:
        # Of neighbours in time, so that a busy machine does not tilt it.
        pairs = zip(seconds[baseline], seconds[name], strict=True)
        ratio = statistics.median(theirs / mine for theirs, mine in pairs)
    suffix = "" if baseline is None else f", against {baseline.partition(' (')[0][8:]}"
    return Measurement(
        name=name + suffix,
        value=statistics.median(values),
        unit="ms",
        spread=spread(values),
        baseline=baseline,
        ratio=ratio,
    )


def _memory(shape: StepShape) -> list[Measurement]:
    """The peak of one step, each in a process of its own."""
    contestants = [PLAIN, *([COMPILED] if kernel_available() else [])]
    with ProcessPoolExecutor(
        max_workers=1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        peaks = {
            name: [pool.submit(peak_bytes, name, shape).result() / MEBIBYTE for _ in range(2)]
            for name in contestants
        }
    plain = statistics.mean(peaks[PLAIN])
    return [
        Measurement(
            name=f"dp_step/memory of {name} ({shape})",
            value=statistics.mean(values),
            unit="MiB",
            spread=max(values) - min(values),
            baseline=None if name == PLAIN else f"dp_step/memory of {PLAIN} ({shape})",
            ratio=None if name == PLAIN else plain / statistics.mean(values),
        )
        for name, values in peaks.items()
    ]
