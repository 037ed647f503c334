"""The compiled library: where it lies, what this processor can run of it, and its C interface.

``source/task.h`` is the other side of ``Task``; the two list the same fields in the same order.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_int, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

InstructionSet = Literal["baseline", "avx2", "avx512"]
INSTRUCTION_SETS: Final[tuple[InstructionSet, ...]] = get_args(InstructionSet)
"""In the order of the library's numbers, slowest first."""

_OUT_OF_MEMORY: Final = 1


class Task(ctypes.Structure):
    """One call's inputs, sizes and results; see ``source/task.h``."""

    _fields_ = (
        ("students", c_int64),
        ("offsets", c_void_p),
        ("asked", c_void_p),
        ("correct", c_void_p),
        ("features", c_void_p),
        ("skills", c_int64),
        ("embedding", c_int64),
        ("hidden", c_int64),
        ("feature_count", c_int64),
        ("at_shared", c_int64),
        ("at_easiness", c_int64),
        ("at_answered", c_int64),
        ("at_onto_input", c_int64),
        ("at_onto_hidden", c_int64),
        ("at_biases", c_int64),
        ("at_head", c_int64),
        ("size", c_int64),
        ("parameters", c_void_p),
        ("total", c_void_p),
        ("norms", c_void_p),
        ("clipping_norm", c_double),
        ("norm_raise", c_double),
        ("threads", c_int64),
    )


def kernel_available() -> bool:
    """Whether the library was built when fedtrace was installed, and can be loaded."""
    return _library() is not None


def instruction_sets() -> tuple[InstructionSet, ...]:
    """What this build and this processor can run, slowest first; empty without the library."""
    library = _library()
    if library is None:
        return ()
    return tuple(
        name
        for number, name in enumerate(INSTRUCTION_SETS)
        if library.fedtrace_kernel_supports(number)
    )


def run(task: Task, *, double: bool, instruction_set: InstructionSet) -> None:
    """Carry out one task; other Python threads run meanwhile.

    The arrays that the task points to are the caller's to check and to keep alive.

    Raises:
        MemoryError: not enough memory for the students' activations.
        RuntimeError: there is no library, or it does not know the instruction set.
    """
    library = _library()
    if library is None:
        raise RuntimeError("the compiled engine was not built when fedtrace was installed")
    entry = library.fedtrace_clipped_sum_f64 if double else library.fedtrace_clipped_sum_f32
    outcome = entry(ctypes.byref(task), INSTRUCTION_SETS.index(instruction_set))
    if outcome == _OUT_OF_MEMORY:
        raise MemoryError("not enough memory for the students' activations")
    if outcome:
        raise RuntimeError(f"the compiled engine has no instruction set {instruction_set!r}")


def draw_by_alias(
    words: npt.NDArray[np.uint64],
    *,
    bins: npt.NDArray[np.uint64],
    bits: int,
    radix: int,
    drawn: npt.NDArray[np.int64],
    ties: npt.NDArray[np.int64],
) -> int:
    """Two integers a word from an alias table; see ``source/drawing.h``.

    Args:
        words: uint64 [n], contiguous as all the other arrays.
        bins: uint64 [2**bits].
        bits: how many bits of a half word choose its bin.
        radix: what the second integer counts for.
        drawn: int64 [n], where the sums go.
        ties: int64 [2 * n] and more, where the undecided half words go.

    Returns:
        How many half words are undecided.

    Raises:
        ValueError: an array of another type, or not contiguous, or too short.
        RuntimeError: there is no library.
    """
    for array, kind in ((words, "u8"), (bins, "u8"), (drawn, "i8"), (ties, "i8")):
        if array.dtype != np.dtype(kind) or not array.flags.c_contiguous:
            raise ValueError(f"the compiled engine draws from contiguous {kind}, not {array.dtype}")
    if len(bins) != 1 << bits or len(drawn) < len(words) or len(ties) < 2 * len(words):
        raise ValueError("an array is too short for what the compiled engine draws")
    library = _library()
    if library is None:
        raise RuntimeError("the compiled engine was not built when fedtrace was installed")
    found: int = library.fedtrace_draw_by_alias(
        words.ctypes.data,
        len(words),
        bins.ctypes.data,
        bits,
        len(bins) // 2,
        radix,
        drawn.ctypes.data,
        ties.ctypes.data,
    )
    return found


@cache
def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_compiled{suffix}")
        if path.exists():
            return _loaded(path)
    return None


def _loaded(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # built for another machine
        return None
    library.fedtrace_kernel_supports.argtypes = [c_int]
    library.fedtrace_kernel_supports.restype = c_int
    for entry in (library.fedtrace_clipped_sum_f32, library.fedtrace_clipped_sum_f64):
        entry.argtypes = [POINTER(Task), c_int]
        entry.restype = c_int
    draw = library.fedtrace_draw_by_alias
    draw.argtypes = [c_void_p, c_int64, c_void_p, c_int, c_int64, c_int64, c_void_p, c_void_p]
    draw.restype = c_int64
    return library
