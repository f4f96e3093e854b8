"""Geometry of Resize that the rules share: what happens to each axis, position by position.

Coordinates are computed in float32 and in the order of ONNX Runtime, so that halves fall on the
same side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, No, Site

_ONE, _HALF = np.float32(1), np.float32(0.5)
# elements of all interpolation matrices of one node
_MAX_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Axis:
    """One axis that changes: its length before and after, the scale, and the region of interest."""

    axis: int
    size: int
    out: int
    scale: np.float32
    start: np.float32
    end: np.float32


@dataclass(frozen=True)
class Geometry:
    """What a Resize asks for. `axes` are those that change."""

    mode: str
    coordinates: str
    rounding: str
    antialias: bool
    exclude_outside: bool
    cubic_a: float
    extrapolation: float
    axes: tuple[Axis, ...]

    def positions(self, axis: Axis) -> np.ndarray:
        """Return the coordinate in the input of each output position (float32)."""
        x = np.arange(axis.out, dtype=np.float32)
        size, out = np.float32(axis.size), np.float32(axis.out)
        match self.coordinates:
            case "asymmetric":
                return x / axis.scale
            case "align_corners":
                return x * (size - _ONE) / (out - _ONE) if axis.out > 1 else x * 0
            case "pytorch_half_pixel":
                return (x + _HALF) / axis.scale - _HALF if axis.out > 1 else x * 0
            case "tf_half_pixel_for_nn":
                return (x + _HALF) / axis.scale
            case "half_pixel_symmetric":
                adjustment = out / (axis.scale * size)
                offset = size / np.float32(2) * (_ONE - adjustment)
                return offset + (x + _HALF) / axis.scale - _HALF
            case "tf_crop_and_resize":
                if axis.out > 1:
                    step = x * (axis.end - axis.start) * (size - _ONE) / (out - _ONE)
                    return axis.start * (size - _ONE) + step
                return x * 0 + _HALF * (axis.start + axis.end) * (size - _ONE)
            case _:
                return (x + _HALF) / axis.scale - _HALF

    def outside(self, axis: Axis) -> np.ndarray:
        """Return which output positions take the extrapolation value."""
        if self.coordinates != "tf_crop_and_resize":
            return np.zeros(axis.out, bool)
        x = self.positions(axis)
        return np.asarray((x < 0) | (x > axis.size - 1))

    def matrix(self, axis: Axis) -> np.ndarray:
        """Return the interpolation matrix of an axis, [out, size]."""
        x = self.positions(axis).astype(np.float64)
        if self.mode == "linear" and not self.antialias:
            x = np.clip(x, 0, axis.size - 1)
        result = np.zeros((axis.out, axis.size))
        shrink = min(float(axis.scale), 1.0) if self.antialias else 1.0
        reach = int(np.ceil((2 if self.mode == "cubic" else 1) / shrink)) + 1
        outside = self.outside(axis)
        for row, center in enumerate(x):
            if outside[row]:
                continue
            taps = np.arange(int(np.floor(center)) - reach, int(np.floor(center)) + reach + 1)
            weights = self._kernel(np.abs(taps - center) * shrink)
            if self.exclude_outside:
                weights = np.where((taps >= 0) & (taps < axis.size), weights, 0)
            if self.exclude_outside or self.antialias:
                weights = weights / weights.sum()
            np.add.at(result[row], np.clip(taps, 0, axis.size - 1), weights)
        return result

    def _kernel(self, d: np.ndarray) -> np.ndarray:
        if self.mode == "linear":
            return np.clip(1 - d, 0, 1)
        a = self.cubic_a
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def read_geometry(node: Node, graph: Graph) -> Geometry | No:
    """Return what a Resize asks for, or why that is not known."""
    opset = graph.model.opset or 0
    x = node.input(0)
    if x is None or x.shape is None or x.dtype is None:
        return No("the rank or the element type is not known")
    rank = len(x.shape)

    def text(name: str, default: str) -> str:
        return node.attributes[name].s.decode() if name in node.attributes else default

    def number(name: str, default: float) -> float:
        return node.attributes[name].f if name in node.attributes else default

    def flag(name: str) -> bool:
        return name in node.attributes and node.attributes[name].i != 0

    coordinates = text("coordinate_transformation_mode", "half_pixel")
    rounding = text("nearest_mode", "round_prefer_floor")
    if opset < 11:
        coordinates, rounding = "asymmetric", "floor"
    axes = list(range(rank))
    if "axes" in node.attributes and len(node.attributes["axes"].ints):
        axes = [a + rank if a < 0 else a for a in node.attributes["axes"].ints]
    if len(set(axes)) != len(axes) or not all(0 <= a < rank for a in axes):
        return No("axes are out of range")
    changed = _changes(node, opset, x.shape, axes, coordinates == "tf_crop_and_resize")
    if isinstance(changed, No):
        return changed
    if not changed:
        return No("nothing is resized")
    result = node.output(0)
    for entry in changed:
        declared = result.shape[entry.axis] if result is not None and result.shape else None
        if isinstance(declared, int) and declared != entry.out:
            return No("the output's length contradicts the scale")
    return Geometry(
        text("mode", "nearest"), coordinates, rounding, flag("antialias"),
        flag("exclude_outside"), number("cubic_coeff_a", -0.75),
        number("extrapolation_value", 0.0), tuple(changed),
    )  # fmt: skip


def _changes(
    node: Node, opset: int, shape: tuple[object, ...], axes: list[int], is_crop: bool
) -> list[Axis] | No:
    roi = np.array([0.0] * len(axes) + [1.0] * len(axes), np.float32)
    if is_crop:
        given = node.input(1)
        if given is None or given.known is None or not given.is_constant:
            return No("the region of interest is not constant")
        if given.known.size != roi.size:
            return No("the region of interest has another length")
        roi = given.known.astype(np.float32).reshape(-1)
    scales_value, sizes_value = node.input(1 if opset < 11 else 2), node.input(3)
    by_size = sizes_value is not None and sizes_value.shape != (0,)
    value = sizes_value if by_size else scales_value
    if value is None or value.known is None or value.known.size != len(axes):
        return No("scales and sizes are not constant")
    policy = node.attributes.get("keep_aspect_ratio_policy")
    kept: np.float32 | None = None
    if by_size and policy is not None and policy.s != b"stretch":
        lengths = [shape[axis] for axis in axes]
        if not all(isinstance(d, int) and d > 0 for d in lengths):
            return No("the aspect ratio of an open shape is kept")
        ratios = [np.float32(n) / np.float32(d) for n, d in
                  zip(value.known.reshape(-1), lengths, strict=True)]  # type: ignore[call-overload]  # fmt: skip
        kept = min(ratios) if policy.s == b"not_larger" else max(ratios)
    found = []
    for index, (axis, wanted) in enumerate(zip(axes, value.known.reshape(-1), strict=True)):
        size, start, end = shape[axis], roi[index], roi[index + len(axes)]
        is_whole = start == 0 and end == 1
        if is_whole and kept is None and (wanted == size if by_size else wanted == 1):
            continue
        if is_whole and kept == 1:
            continue
        if not isinstance(size, int):
            return No("the length of a resized axis is not known")
        if kept is not None:
            # half a pixel is rounded up
            out, scale = int(np.floor(kept * np.float32(size) + _HALF)), kept
        elif by_size:
            out, scale = int(wanted), np.float32(wanted) / np.float32(size or 1)
        else:
            scale = np.float32(wanted)
            out = int(scale * np.float32(size))
        if size < 1 or out < 1:
            return No("an axis is empty")
        if out == size:
            return No("runtimes disagree about an axis that keeps its length")
        found.append(Axis(axis, size, out, scale, start, end))
    return found


def interpolate(node: Node, graph: Graph, mode: str) -> Site | No:
    """Write a Resize of this mode, linear or cubic, as one MatMul for each axis that changes."""
    asked = node.attributes.get("mode")
    if asked is None or asked.s != mode.encode():
        return No(f"the mode is not {mode}")
    geometry = read_geometry(node, graph)
    if isinstance(geometry, No):
        return geometry
    if geometry.coordinates == "tf_half_pixel_for_nn":
        return No("these coordinates are for nearest")
    given = node.input(0)
    if given is None or given.shape is None or given.dtype not in ("float16", "float32", "double"):
        return No("the element type is no float")
    rank, dtype = len(given.shape), given.dtype
    if sum(a.size * a.out for a in geometry.axes) > _MAX_ELEMENTS:
        return No("the interpolation matrices are too large")
    b, x = Builder(node, graph), given.name
    for entry in geometry.axes:
        matrix = geometry.matrix(entry)
        if entry.axis == rank - 2:
            x = b.op("MatMul", b.constant(matrix, dtype), x)
            continue
        order = [i for i in range(rank) if i != entry.axis] + [entry.axis]
        is_last = entry.axis == rank - 1
        if not is_last:
            x = b.op("Transpose", x, perm=order)
        x = b.op("MatMul", x, b.constant(matrix.T, dtype))
        if not is_last:
            x = b.op("Transpose", x, perm=[order.index(i) for i in range(rank)])
    mask = outside_mask(geometry, rank)
    if mask is not None and geometry.extrapolation != 0:
        x = b.op("Add", x, b.constant(mask * geometry.extrapolation, dtype))
    return b.site(x)


def outside_mask(geometry: Geometry, rank: int) -> np.ndarray | None:
    """Return which outputs take the extrapolation value, broadcast over the axes; None: none."""
    mask = np.zeros([1] * rank, bool)
    for entry in geometry.axes:
        shape = [entry.out if i == entry.axis else 1 for i in range(rank)]
        mask = mask | geometry.outside(entry).reshape(shape)
    return mask if mask.any() else None
