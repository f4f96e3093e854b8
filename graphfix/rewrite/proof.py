"""The proof: both islands of a site run on the same inputs and must give the same.

ONNX Runtime with optimizations off, or onnx's reference evaluator where the runtime lacks a kernel.
Inputs are seeded random numbers and the boundary cases: zeros, ones, negative, huge, tiny, and NaN
and infinities for rules that promise exactness. Symbolic dims are bound at two sizes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from graphfix.comparison.inputs import as_dtype, bind, is_open, random_input
from graphfix.comparison.metrics import finite, there
from graphfix.comparison.runtimes.onnxruntime import first_line, new_session
from graphfix.graph import dtypes
from graphfix.graph.inference import SHAPE_INPUTS
from graphfix.rewrite.island import Boundary, Island
from graphfix.rewrite.rule import Exactness

# symbolic and unknown dims are bound to these, one after the other
_SIZES = (3, 2, 1, 0)
# islands with larger inputs are run on one random sample only
_MANY_ELEMENTS = 1 << 20
_HUGE_ELEMENTS = 1 << 26

# the greatest error that a dtype's own rounding excuses, relative to max(1, |value|)
_DTYPE_TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-6, "double": 1e-12}

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Proof:
    """The outcome. `ok` is None when neither engine could run the original site."""

    ok: bool | None
    samples: int
    max_abs: float
    reason: str
    engine: str

    def to_json(self) -> dict[str, Any]:
        """Return the proof as the report has it."""
        return {
            "proved": self.ok,
            "samples": self.samples,
            "max_abs_error": finite(self.max_abs),
            "engine": self.engine,
            "reason": self.reason,
        }


RUNTIME, REFERENCE = "onnxruntime", "onnx.reference"


def prove(island: Island, exactness: Exactness, tolerance: float) -> Proof:
    """Run an island before and after and compare.

    Where ONNX Runtime lacks the original, and the reference evaluator, which gets some versions of
    operators wrong, sees a difference, the runtime is asked for the rewritten site.
    """
    if island.batch is not None:
        return _prove_batch(island, exactness, tolerance)
    failed: Proof | None = None
    for first, second in ((RUNTIME, RUNTIME), (REFERENCE, REFERENCE), (REFERENCE, RUNTIME)):
        before, after = _runner(first, island.before), _runner(second, island.after)
        if before is None:
            continue
        if after is None:
            reason = f"{first} runs the site, but {second} not the rewritten one"
            proof: Proof | None = Proof(False, 0, 0.0, reason, first)
        else:
            proof = _compare_all(island, before, after, exactness, tolerance, first)
        if proof is None:
            continue
        if proof.ok or first == RUNTIME:
            return proof
        failed = failed or proof
    nothing = "neither ONNX Runtime nor the reference evaluator runs the site"
    return failed or Proof(None, 0, 0.0, nothing, "")


def _prove_batch(island: Island, exactness: Exactness, tolerance: float) -> Proof:
    """Compare at the size that the original takes, and at twice that with its two halves joined."""
    assert island.batch is not None
    symbol, size = island.batch
    before, after = _runner(RUNTIME, island.before), _runner(RUNTIME, island.after)
    if before is None or after is None:
        return Proof(None, 0, 0.0, f"{RUNTIME} does not run the site", RUNTIME)
    split = {p.name for p in island.inputs if p.shape and (p.shape[0] or "") == symbol}
    if not split:
        return Proof(None, 0, 0.0, f"no input is led by {symbol}", RUNTIME)
    rng = np.random.default_rng(zlib.crc32(island.key))
    worst = 0.0
    for parts in (1, 2):
        pieces = []
        for _ in range(parts):
            ports = [_with_size(p, size) if p.name in split else p for p in island.inputs]
            shapes = bind(ports, {}, size)
            pieces.append({p.name: random_input(rng, p, shapes[p.name], 4) for p in ports})
        whole = {
            name: np.concatenate([piece[name] for piece in pieces]) if name in split else first
            for name, first in pieces[0].items()
        }
        for piece in pieces:
            piece.update({n: a for n, a in whole.items() if n not in split})
        try:
            wanted = [np.concatenate(outs) for outs in zip(*map(before.run, pieces), strict=True)]
            found = after.run(whole)
        except Exception as error:  # an engine's own errors, of many kinds
            return Proof(False, 0, worst, f"a site fails: {first_line(error)}", RUNTIME)
        for port, want, have in zip(island.outputs, wanted, found, strict=True):
            problem, distance = difference(want, have, exactness, tolerance)
            worst = max(worst, distance)
            if problem is not None:
                reason = f"output {port.name} at {parts} x {size}: {problem}"
                return Proof(False, parts, worst, reason, RUNTIME)
    return Proof(True, 2, worst, f"equal at {size} and {2 * size}", RUNTIME)


def _with_size(port: Boundary, size: int) -> Boundary:
    assert port.shape is not None
    return replace(port, shape=(size, *port.shape[1:]))


class _Runner:
    """One engine with one model; `run` raises whatever the engine raises."""

    def __init__(self, engine: str, model: onnx.ModelProto) -> None:
        self._session: Any
        self._names = [o.name for o in model.graph.output]
        self._wanted = [i.name for i in model.graph.input]
        if engine == RUNTIME:
            self._session = new_session(model, threads=1)
        else:
            import onnx.reference

            self._session = onnx.reference.ReferenceEvaluator(model)

    def run(self, inputs: Inputs) -> list[Any]:
        feed = {name: inputs[name] for name in self._wanted}
        result: list[Any] = self._session.run(self._names, feed)
        return result


def _runner(engine: str, model: onnx.ModelProto) -> _Runner | None:
    try:
        return _Runner(engine, model)
    except Exception:  # an engine's own errors, of many kinds: it cannot run this model
        return None


def _compare_all(
    island: Island, before: _Runner, after: _Runner, exactness: Exactness, tolerance: float,
    engine: str,
) -> Proof | None:  # fmt: skip
    count, worst = 0, 0.0
    for inputs in _samples(island, exactness):
        try:
            with np.errstate(all="ignore"):
                expected = before.run(inputs)
        except Exception:  # inputs that the original itself refuses prove nothing
            continue
        try:
            with np.errstate(all="ignore"):
                actual = after.run(inputs)
        except Exception as error:
            return Proof(
                False, count, worst, f"the rewritten site fails: {first_line(error)}", engine
            )
        for port, want, have in zip(island.outputs, expected, actual, strict=True):
            problem, distance = difference(want, have, exactness, tolerance)
            worst = max(worst, distance)
            if problem is not None:
                return Proof(False, count, worst, f"output {port.name}: {problem}", engine)
        count += 1
    if count == 0:
        return None
    return Proof(True, count, worst, "equal" if worst == 0 else f"max error {worst:.2g}", engine)


def difference(
    want: Any, have: Any, exactness: Exactness, tolerance: float
) -> tuple[str | None, float]:
    """Return (what is wrong or None, greatest error relative to max(1, |value|))."""
    if isinstance(want, list) or isinstance(have, list):
        if type(want) is not type(have) or len(want) != len(have):
            return "another sequence", float("inf")
        results = [difference(w, h, exactness, tolerance) for w, h in zip(want, have, strict=True)]
        bad = next((r for r in results if r[0] is not None), None)
        return bad or (None, max((r[1] for r in results), default=0.0))
    want, have = np.asarray(want), np.asarray(have)
    if want.dtype != have.dtype:
        return f"dtype {have.dtype} instead of {want.dtype}", float("inf")
    if want.shape != have.shape:
        return f"shape {have.shape} instead of {want.shape}", float("inf")
    if want.dtype.kind not in "fV" and want.dtype.name != "bfloat16":
        equal = bool((want == have).all())
        return (None, 0.0) if equal else (_where(want, have), float("inf"))
    w, h = want.astype(np.float64), have.astype(np.float64)
    same = (w == h) | (np.isnan(w) & np.isnan(h))
    if bool(same.all()):
        return None, 0.0
    if exactness is Exactness.EXACT:
        return _where(want, have), float(np.nanmax(np.abs(w - h), initial=0.0))
    limit = max(tolerance, _DTYPE_TOLERANCE.get(_name(want), tolerance))
    # where values are large, sums of them cancel: then the largest one is the measure
    largest = float(np.abs(w[np.isfinite(w)]).max(initial=0.0))
    with np.errstate(all="ignore"):
        error = np.abs(w - h) / np.maximum(1.0, largest if largest > 1e3 else np.abs(w))
    error = np.where(same, 0.0, error)
    if not bool(np.isfinite(error).all()) or float(error.max()) > limit:
        return _where(want, have, error), float(np.nan_to_num(error, nan=np.inf).max())
    return None, float(error.max())


def _name(array: np.ndarray) -> str:
    return {"float64": "double"}.get(str(array.dtype.name), str(array.dtype.name))


def _where(want: np.ndarray, have: np.ndarray, error: np.ndarray | None = None) -> str:
    if error is not None:
        worst = np.nan_to_num(error, nan=np.inf) == np.nan_to_num(error, nan=np.inf).max()
    else:
        worst = ~((want == have) | ((want != want) & (have != have)))
    return there(want, have, tuple(int(i) for i in np.argwhere(worst)[0]))


# ---------------------------------------------------------------------- inputs


def _samples(island: Island, exactness: Exactness) -> Iterator[Inputs]:
    seed = zlib.crc32(island.key)
    decides = _decides_shapes(island)
    for round_, size in enumerate(_SIZES):
        if size == 0 and not _bears_emptiness(island):
            return
        if any(p.shape is None for p in island.inputs):
            return  # an unknown rank: nothing can be made up for it
        shapes = bind(island.inputs, {}, size)
        total = sum(map(math.prod, shapes.values()))
        if total > _HUGE_ELEMENTS:
            return
        rng = np.random.default_rng(seed + round_)
        yield {p.name: random_input(rng, p, shapes[p.name]) for p in island.inputs}
        if total > _MANY_ELEMENTS:
            return
        if round_ == 0:
            yield {p.name: random_input(rng, p, shapes[p.name], 4) for p in island.inputs}
            if not decides:
                yield {p.name: _wide(rng, p, shapes[p.name]) for p in island.inputs}
            for kind in _boundaries(exactness):
                yield {
                    p.name: _boundary(rng, p, shapes[p.name], kind, decides) for p in island.inputs
                }
        if not is_open(island.inputs):
            return


def _bears_emptiness(island: Island) -> bool:
    """Whether both sites are made of operators alone that no engine dies of when a dim is 0."""
    return all(
        node.op_type in _BEAR_EMPTINESS
        for model in (island.before, island.after)
        for node in model.graph.node
    )


# ONNX Runtime ends the whole process on an empty GRU; these only compute or move elements
_BEAR_EMPTINESS = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Celu", "Clip", "Concat", "Constant", "Div", "Elu",
    "Equal", "Erf", "Exp", "Expand", "Floor", "Gather", "Gelu", "Greater", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Less", "Log", "Max", "Mean", "Min", "Mish", "Mul",
    "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Reshape", "Selu", "Shape", "Sigmoid",
    "Sign", "Size", "Slice", "Softplus", "Softsign", "Sqrt", "Squeeze", "Sub", "Sum", "Swish",
    "Tanh", "Tile", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip


def _decides_shapes(island: Island) -> bool:
    """Whether a shape is computed on the island: wide integers there would ask for huge tensors."""
    return any(
        node.op_type in SHAPE_INPUTS or node.op_type in ("Loop", "EyeLike")
        for model in (island.before, island.after)
        for node in model.graph.node
    )


def _wide(rng: np.random.Generator, port: Boundary, shape: tuple[int, ...]) -> np.ndarray:
    """Return integers over the whole range that sums of two stay within; else random data."""
    dtype = port.dtype or "float32"
    if dtype not in _WIDE:
        return random_input(rng, port, shape)
    low, high = _WIDE[dtype]
    return as_dtype(rng.integers(low, high, shape, endpoint=True), dtype)


_WIDE = {
    "int64": (-(2**52), 2**52),
    "int32": (-(2**30), 2**30),
    "int16": (-(2**14), 2**14),
    "int8": (-64, 63),
    "uint8": (0, 127),
    "uint16": (0, 2**15),
    "uint32": (0, 2**31),
    "uint64": (0, 2**52),
}


def _boundaries(exactness: Exactness) -> Mapping[str, float]:
    finite = {"zeros": 0.0, "ones": 1.0, "negative": -2.5, "huge": 3e4, "tiny": 1e-6}
    if exactness is Exactness.EXACT:
        return {**finite, "nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
    return finite


def _boundary(
    rng: np.random.Generator, port: Boundary, shape: tuple[int, ...], kind: str, decides: bool
) -> np.ndarray:
    dtype = port.dtype or "float32"
    if dtype not in dtypes.FLOATS or port.is_weight:
        return random_input(rng, port, shape)
    if decides and len(shape) <= 1:
        # it may be scales or sizes: a huge one would ask for more memory than there is
        return as_dtype(rng.integers(1, 3, shape), dtype)
    values = {"zeros": 0.0, "ones": 1.0, "negative": -2.5, "huge": 3e4, "tiny": 1e-6}
    if kind in values:
        data = rng.normal(1, 0.1, shape) * values[kind]
        return as_dtype(np.round(data) if kind in ("zeros", "ones") else data, dtype)
    data = rng.normal(0, 1, shape)
    if data.size:
        data.flat[rng.integers(0, data.size)] = float(kind)
    return as_dtype(data, dtype)
