"""How far two tensors are apart, said honestly.

Numbers are computed in float64 over the positions where both sides are finite. What has no answer
is None: the cosine of a zero vector or of a single number, any error of an empty tensor. A NaN
never passes; an infinity passes where the other side has the same one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """What counts as equal.

    An element passes when |a - b| <= atol + rtol * max(|a|, s), where a is of the reference and s
    the tensor's own small magnitude (the lower quartile of its non-zero values): sums that cancel
    to nearly zero are not judged by what is left of them. `cosine` is a least cosine of the whole
    tensor, `euclidean` its greatest relative Euclidean error. None leaves a test out; with all left
    out, values must be equal.
    """

    atol: float | None = None
    rtol: float | None = None
    cosine: float | None = None
    euclidean: float | None = None

    @property
    def of_elements(self) -> bool:
        """Whether single elements are tested."""
        return self.atol is not None or self.rtol is not None

    @property
    def of_whole(self) -> bool:
        """Whether the tensor as a whole is tested."""
        return self.cosine is not None or self.euclidean is not None


EXACT = Tolerance()

# by the coarser dtype of the two sides; some hundred roundings of it. Integers, bools and strings
# must be equal
DEFAULTS: dict[str, Tolerance] = {
    "float64": Tolerance(1e-9, 1e-8),
    "float32": Tolerance(1e-5, 1e-4),
    "float16": Tolerance(1e-3, 1e-2),
    "bfloat16": Tolerance(1e-2, 5e-2),
}
# against what an NPU computes, which is in float16 unless the OM was built otherwise: from these on
# msprobe's analyser of ONNX against OM takes an operator for wrong
ON_NPU = Tolerance(cosine=0.99, euclidean=0.05)
_FLOAT8 = Tolerance(0.125, 0.25)
_COARSEST_FIRST = ("bfloat16", "float16", "float32", "float64")


@dataclass(frozen=True)
class Metrics:
    """The distance of two tensors; the reference (want) comes first in pairs.

    `max_rel` is over positions where the reference is not zero; `beyond` the share of elements
    beyond the tolerance, `first` the first of them (or the first that differs, when cosine alone
    decides). `problem` says why it failed, in words; None when it passed. `note` is something to
    know of one that passed.
    """

    dtype: str
    shape: tuple[int, ...]
    elements: int
    max_abs: float | None = None
    max_rel: float | None = None
    mean_abs: float | None = None
    rmse: float | None = None
    cosine: float | None = None
    relative_euclidean: float | None = None
    beyond: float = 0.0
    first: tuple[int, ...] | None = None
    nan: tuple[int, int] = (0, 0)
    inf: tuple[int, int] = (0, 0)
    problem: str | None = None
    note: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the two count as equal."""
        return self.problem is None

    @property
    def equal(self) -> bool:
        """Whether no element differs at all."""
        return self.passed and not self.max_abs

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as reports have them; numbers without a finite value are null."""
        entry = asdict(self)
        for key, value in entry.items():
            if isinstance(value, float):
                entry[key] = finite(value)
            elif isinstance(value, tuple):
                entry[key] = list(value)
        return {**entry, "passed": self.passed}


def finite(number: float) -> float | None:
    """Return a number as JSON can hold it: None for infinity and NaN."""
    return number if math.isfinite(number) else None


def measure(want: np.ndarray, have: np.ndarray, tolerance: Tolerance | None = None) -> Metrics:
    """Compare a tensor with its reference `want`.

    Without `tolerance` the documented default of the coarser dtype is used. Two float types, or two
    integer types, of different width are compared by value, which is noted; other pairs of types
    and other shapes fail.
    """
    want, have = np.asarray(want), np.asarray(have)
    dtype, shape, size = want.dtype.name, tuple(want.shape), int(want.size)
    if want.shape != have.shape:
        problem = f"shape {_dims(have)} instead of {_dims(want)}"
        return Metrics(dtype, shape, size, beyond=1.0, problem=problem)
    floats = (_is_float(want), _is_float(have))
    note = None
    if want.dtype != have.dtype:
        integers = want.dtype.kind in "iu" and have.dtype.kind in "iu"
        texts = want.dtype.kind in "OUST" and have.dtype.kind in "OUST"
        if not (all(floats) or integers or texts):
            problem = f"dtype {have.dtype.name} instead of {dtype}"
            return Metrics(dtype, shape, size, beyond=1.0, problem=problem)
        if not texts:
            note = f"{have.dtype.name} instead of {dtype}, compared by value"
    if size == 0:
        return Metrics(dtype, shape, 0, note=note)
    if not floats[0]:
        return _exact(want, have, note)
    if note is None and want.tobytes() == have.tobytes():
        quick = _identical(want)
        if quick is not None:
            return quick
    if tolerance is None:
        names = (want.dtype.name, have.dtype.name)
        tolerance = next(
            (DEFAULTS[n] for n in _COARSEST_FIRST if n in names), Tolerance(0.125, 0.25)
        )
    return _floats(want, have, tolerance, note)


def _is_float(array: np.ndarray) -> bool:
    # ml_dtypes' bfloat16 and float8 types are of numpy kind V
    return array.dtype.kind in "fc" or array.dtype.name.startswith(("bfloat16", "float"))


def _dims(array: np.ndarray) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def _exact(want: np.ndarray, have: np.ndarray, note: str | None) -> Metrics:
    differ = np.asarray(want != have)
    count = int(np.count_nonzero(differ))
    max_abs = None
    if want.dtype.kind in "iu":
        w, h = want.astype(np.float64), have.astype(np.float64)
        max_abs = float(np.abs(w - h).max())
    elif want.dtype.kind == "b":
        max_abs = float(count > 0)
    first = _first(differ) if count else None
    problem = None
    if first is not None:
        problem = there(want, have, first)
    return Metrics(
        want.dtype.name, tuple(want.shape), int(want.size), max_abs=max_abs,
        beyond=count / want.size, first=first, problem=problem, note=note,
    )  # fmt: skip


def _identical(want: np.ndarray) -> Metrics | None:
    """Return the metrics of two equal tensors; None when there are values to look at."""
    with np.errstate(all="ignore"):
        flat = want.reshape(-1).astype(np.float64, copy=False)
        square = float(flat @ flat)
    if not math.isfinite(square):
        return None
    defined = square > 0 and want.size > 1
    return Metrics(
        want.dtype.name, tuple(want.shape), int(want.size), max_abs=0.0, max_rel=0.0,
        mean_abs=0.0, rmse=0.0, cosine=1.0 if defined else None,
        relative_euclidean=0.0 if square > 0 else None,
    )  # fmt: skip


def _floats(want: np.ndarray, have: np.ndarray, tolerance: Tolerance, note: str | None) -> Metrics:
    wide = np.complex128 if "c" in (want.dtype.kind, have.dtype.kind) else np.float64
    w, h = want.astype(wide).reshape(-1), have.astype(wide).reshape(-1)
    with np.errstate(all="ignore"):
        error = np.abs(w - h)
        nan = (int(np.count_nonzero(np.isnan(w))), int(np.count_nonzero(np.isnan(h))))
        inf = (int(np.count_nonzero(np.isinf(w))), int(np.count_nonzero(np.isinf(h))))
        usable = None
        if any(nan) or any(inf):
            usable = np.isfinite(w) & np.isfinite(h)
            # inf - inf is NaN: the same infinity is no error; everything else that is not finite is
            error = np.where(usable, error, np.where(w == h, 0.0, np.inf))
        magnitude = np.abs(w)
        by_element = tolerance
        if tolerance == ON_NPU and not np.any(magnitude):
            by_element = DEFAULTS["float16"]  # of zeros there is no relative error
        bad = error > _limit(magnitude, by_element)
        if usable is not None:
            bad |= ~usable & (w != h)
            w, h, magnitude = w[usable], h[usable], magnitude[usable]
            pair_error = error[usable]
        else:
            pair_error = error
        numbers = _numbers(w, h, magnitude, pair_error)
    count = int(np.count_nonzero(bad))
    problem = None
    if nan != (0, 0):
        problem = _about_nan(nan)
    elif usable is not None and bool((bad & ~usable).any()):
        problem = f"infinite where the other is not: {inf[0]} in the reference, {inf[1]} here"
    elif (tolerance.of_elements or not tolerance.of_whole) and count:
        problem = f"{count / bad.size:.2%} of the elements beyond the tolerance"
    if problem is None and tolerance.of_whole:
        problem = _about_whole(numbers, tolerance, count)
    index = _first(bad.reshape(want.shape)) if count else None
    return Metrics(
        want.dtype.name, tuple(want.shape), int(want.size), **numbers, beyond=count / bad.size,
        first=index, nan=nan, inf=inf, problem=problem, note=note,
    )  # fmt: skip


def _limit(magnitude: np.ndarray, tolerance: Tolerance) -> np.ndarray | float:
    limit: np.ndarray | float = tolerance.atol or 0.0
    if tolerance.rtol:
        limit = limit + tolerance.rtol * np.maximum(magnitude, _small_magnitude(magnitude))
    return limit


def _small_magnitude(magnitude: np.ndarray) -> float:
    """Return the lower quartile of the non-zero finite magnitudes."""
    some = magnitude[(magnitude > 0) & np.isfinite(magnitude)]
    if some.size == 0:
        return 0.0
    rank = some.size // 4
    return float(np.partition(some, rank)[rank])


def _numbers(
    w: np.ndarray, h: np.ndarray, magnitude: np.ndarray, error: np.ndarray
) -> dict[str, float | None]:
    names = ("max_abs", "max_rel", "mean_abs", "rmse", "cosine", "relative_euclidean")
    if error.size == 0:
        return dict.fromkeys(names)
    # norms of numbers scaled to 1, since squares of 1e200 overflow
    largest = float(magnitude.max())
    other = float(np.abs(h).max())
    norm_w = float(np.linalg.norm(w / largest)) if largest > 0 else 0.0
    norm_h = float(np.linalg.norm(h / other)) if other > 0 else 0.0
    cosine = None
    if norm_w > 0 and norm_h > 0 and error.size > 1:
        product = np.vdot(w / largest, h / other).real
        cosine = max(-1.0, min(1.0, float(product) / norm_w / norm_h))
    top = float(error.max())
    norm_error = top * float(np.linalg.norm(error / top)) if top > 0 else 0.0
    nonzero = magnitude > 0
    return {
        "max_abs": top,
        "max_rel": float((error[nonzero] / magnitude[nonzero]).max(initial=0.0)),
        "mean_abs": float(error.mean()),
        "rmse": norm_error / math.sqrt(error.size),
        "cosine": cosine,
        "relative_euclidean": norm_error / (largest * norm_w) if norm_w > 0 else None,
    }


def _about_nan(nan: tuple[int, int]) -> str:
    if nan[0] == nan[1]:
        return f"{nan[0]} NaN on both sides: nothing can be said of them"
    return f"{nan[1]} NaN, and {nan[0]} in the reference"


def _about_whole(
    numbers: Mapping[str, float | None], tolerance: Tolerance, beyond: int
) -> str | None:
    cosine, error = numbers["cosine"], numbers["relative_euclidean"]
    if tolerance.cosine is not None and cosine is not None and cosine < tolerance.cosine:
        return f"cosine {cosine:.6f} below {tolerance.cosine:g}"
    if tolerance.euclidean is not None and error is not None and error > tolerance.euclidean:
        return f"relative Euclidean error {error:.2g} above {tolerance.euclidean:g}"
    tested = (tolerance.cosine is not None and cosine is not None) or (
        tolerance.euclidean is not None and error is not None
    )
    # a zero vector or a single number has no direction: then the elements decide
    return None if tested or not beyond else "no cosine, and the elements differ"


def _first(mask: np.ndarray) -> tuple[int, ...]:
    index = np.unravel_index(int(np.argmax(mask)), mask.shape)
    return tuple(int(i) for i in index)


def there(want: np.ndarray, have: np.ndarray, index: tuple[int, ...]) -> str:
    """Say what stands at a position on both sides."""
    one, two = (v.item() if hasattr(v, "item") else v for v in (have[index], want[index]))
    return f"{one!r} instead of {two!r}" + (f" at {list(index)}" if index else "")
