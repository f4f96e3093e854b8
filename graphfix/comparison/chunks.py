"""Chunks of values whose dumps fit into a memory budget."""

from __future__ import annotations

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
# a dumped value lies in the runtime and as an array while its side runs, as an array while the
# other does, and measuring it takes some copies in float64
_COPIES = 5
# of a value whose shape is unknown
_GUESS = 1 << 20
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


def chunks(pairs: Sequence[Pair], share: int, memory: int) -> Iterator[list[Pair]]:
    """Yield runs of pairs whose dumps fit into `share` bytes at one time."""
    chunk: list[Pair] = []
    total = 0
    for pair in pairs:
        size = _COPIES * value_bytes(pair.value) + _EACH
        if size > share:
            raise UsageError(
                f"--memory {megabytes(memory)}: does not hold {pair.value.name}, for which "
                f"{megabytes(size)} are needed beside the {megabytes(memory - share)} of both "
                "models and the program. Give more, smaller shapes (--shape), or compare outputs "
                "alone, without --layers."
            )
        if total + size > share:
            yield chunk
            chunk, total = [], 0
        chunk.append(pair)
        total += size
    if chunk:
        yield chunk


def value_bytes(value: Value) -> int:
    """Return the size of a value by its inferred shape; a guess where that is open."""
    shape = value.shape
    if shape is None or any(not isinstance(d, int) for d in shape):
        return _GUESS
    bits = dtypes.BITS.get(dtypes.NUMBERS.get(value.dtype or "", 0), 64)
    return math.prod(d for d in shape if isinstance(d, int)) * bits // 8


def megabytes(count: int) -> str:
    """Return bytes as people read them."""
    return f"{count / (1 << 20):,.0f} MiB"
