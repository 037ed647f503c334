"""The log: durable appends, verification of a long one, proofs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from support.logs import NOW, encode, key_of, note_over, tell_story
from support.measurement import Measurement, spread

from fedtrace.governance.log.entries import Entry
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.merkle import leaf_hash, require_inclusion
from fedtrace.governance.log.verify import exit_code, verify_log

ORIGIN = "county/log"
BATCH = 100
BATCHES = 20
ENTRIES, MILLION = 100_000, 1_000_000
PROOFS = 2_000
REPETITIONS = 5

GOAL_APPENDS_PER_SECOND = 1_000
GOAL_ENTRIES_PER_SECOND = 100_000
GOAL_PROOF_MS = 5.0


def run() -> list[Measurement]:
    """Appends go to the disk that holds the temporary folder; the rest runs on one core."""
    lines = encode(_entries(ENTRIES), ORIGIN)
    return [
        _appends(1),
        _appends(BATCH),
        _verification(lines),
        _verification(encode(_entries(MILLION), ORIGIN)),
        _reopening(lines),
        _proofs(lines),
    ]


def _entries(count: int) -> list[Entry]:
    """What a consortium's log holds, over and over, in the mixture of a job of 30 rounds."""
    return list(islice(cycle(tell_story(schools=10, rounds=30).consortium), count))


def _appends(batch: int) -> Measurement:
    """Entries a second that are on disk, signed and published when `append_many` returns."""
    rates = []
    entries = _entries(batch)
    for _ in range(REPETITIONS):
        with tempfile.TemporaryDirectory() as folder:
            log = Log.open(Path(folder), origin=ORIGIN, key=key_of(ORIGIN))
            seconds = _seconds(
                lambda log=log: [log.append_many(entries, now=NOW) for _ in range(BATCHES)]  # type: ignore[misc]
            )
            log.close()
        rates.append(batch * BATCHES / seconds)
    return Measurement(
        name=f"log/durable appends, {batch} entries a commit",
        value=median(rates),
        unit="entries/s",
        spread=spread(rates),
        baseline=f"goal of {GOAL_APPENDS_PER_SECOND} entries/s",
        ratio=median(rates) / GOAL_APPENDS_PER_SECOND,
    )


def _verification(lines: list[bytes]) -> Measurement:
    """Everything that `verify_log` checks: signature, every hash, every schema, time."""
    log = replace(tell_story().log_bytes(), lines=lines, checkpoint=note_over(lines, ORIGIN))
    rates = []
    for _ in range(REPETITIONS):
        start = time.process_time()  # of one core, whatever else the machine does
        verified = verify_log(log)
        rates.append(len(lines) / (time.process_time() - start))
        if exit_code(verified.lines) == 2:
            raise RuntimeError(verified.lines[-1].sentence)
    return Measurement(
        name=f"log/verification, {len(lines)} entries",
        value=median(rates),
        unit="entries/s",
        spread=spread(rates),
        baseline=f"goal of {GOAL_ENTRIES_PER_SECOND} entries/s",
        ratio=median(rates) / GOAL_ENTRIES_PER_SECOND,
    )


def _reopening(lines: list[bytes]) -> Measurement:
    """Seconds until a log of that many entries can be appended to: everything is recomputed."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log.open(Path(folder), origin=ORIGIN, key=key_of(ORIGIN))
        log.append_lines(lines)
        log.close()
        seconds = [
            _seconds(lambda: Log.open(Path(folder), origin=ORIGIN, key=key_of(ORIGIN)).close())
            for _ in range(REPETITIONS)
        ]
    return Measurement(
        name=f"log/opening, {len(lines)} entries",
        value=median(seconds),
        unit="s",
        spread=spread(seconds),
    )


def _proofs(lines: list[bytes]) -> Measurement:
    """Milliseconds to make one inclusion proof and to verify it."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log.open(Path(folder), origin=ORIGIN, key=key_of(ORIGIN))
        log.append_lines(lines)
        checkpoint = log.checkpoint()
        milliseconds = []
        for index in range(0, len(lines), len(lines) // PROOFS):
            start = time.perf_counter()
            proof = log.inclusion_proof(index)
            leaf = leaf_hash(lines[index])
            require_inclusion(leaf, index, checkpoint.size, proof, checkpoint.root)
            milliseconds.append((time.perf_counter() - start) * 1000)
        log.close()
    return Measurement(
        name=f"log/inclusion proof, made and verified, {len(lines)} entries",
        value=median(milliseconds),
        unit="ms",
        spread=spread(milliseconds),
        baseline=f"goal of {GOAL_PROOF_MS:g} ms",
        ratio=GOAL_PROOF_MS / median(milliseconds),
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    for measured in run():
        print(measured)
