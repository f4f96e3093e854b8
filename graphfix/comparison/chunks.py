"""Chunks of values whose dumps fit into a memory budget."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from graphfix.comparison.matching import Pair
from graphfix.comparison.runtimes import Runtime
from graphfix.comparison.runtimes.onnxruntime import OnnxRuntime
from graphfix.errors import UsageError
from graphfix.graph import Model, Value, dtypes
from graphfix.graph.tensors import byte_size, tensors_of

DEFAULT_MEMORY = 2 << 30
# a dumped value lies in the runtime and as an array while its side runs, and as an array of the
# other side
_HELD = 3
# what measuring takes for each element of one value: some copies in float64
MEASURED_BYTES = 64
# of a value whose shape is unknown
_GUESS_ELEMENTS = 1 << 18
_EACH = 4096  # what a value of one number costs: an output of the session, an array, its metrics


def available_bytes(memory: int, a: Runtime, b: Runtime) -> int:
    """Return what the budget leaves for dumps, after this process and the weights of both."""
    weights = sum(_weights(side.model) for side in (a, b) if isinstance(side, OnnxRuntime))
    return memory - resident_bytes() - 2 * weights


def _weights(model: Model) -> int:
    return max(model.byte_size, sum(byte_size(t) for t in tensors_of(model.proto)))


def resident_bytes() -> int:
    """Return the memory that this process holds now (where the system tells it), in bytes."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        try:
            import resource
        except ImportError:  # Windows tells it in no module of Python's own
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def give_back() -> None:
    """Hand freed memory back to the system where the C library keeps it (glibc does)."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def chunks(pairs: Sequence[Pair], share: int, memory: int) -> Iterator[list[Pair]]:
    """Yield runs of pairs whose dumps fit into `share` bytes at one time.

    Raises UsageError where one value does not.
    """
    chunk: list[Pair] = []
    held = measured = 0
    for pair in pairs:
        elements, size = value_size(pair.value)
        more, most = _HELD * size + _EACH, MEASURED_BYTES * elements
        if more + most > share:
            raise UsageError(
                f"--memory {megabytes(memory)}: does not hold {pair.value.name}, for which "
                f"{megabytes(more + most)} are needed beside the {megabytes(memory - share)} of "
                "both models and the program. Give more, smaller shapes (--shape), or --bisect, "
                "which holds a few values at a time and keeps to no budget."
            )
        if held + more + max(measured, most) > share:
            yield chunk
            chunk, held, measured = [], 0, 0
        chunk.append(pair)
        held, measured = held + more, max(measured, most)
    if chunk:
        yield chunk


def value_size(value: Value) -> tuple[int, int]:
    """Return elements and bytes of a value by its inferred shape; a guess where that is open."""
    shape = value.shape or ()
    open_ = value.shape is None or any(not isinstance(d, int) for d in shape)
    elements = _GUESS_ELEMENTS if open_ else math.prod(d for d in shape if isinstance(d, int))
    bits = dtypes.BITS.get(dtypes.NUMBERS.get(value.dtype or "", 0), 64)
    return elements, elements * bits // 8


def megabytes(count: int) -> str:
    """Return bytes as people read them."""
    return f"{count / (1 << 20):,.0f} MiB"
