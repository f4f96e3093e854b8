"""Take the pixels of a nearest Resize one by one, because CANN rounds in its own way.

Why       nearest_mode is never read, other coordinates than four known ones act as asymmetric, and
          only axes 2 and 3 of a 4-D input are resized.
Rewrites  repetition by whole numbers: Reshape, Expand, Reshape (shapes computed where they are not
          static); else, for each axis, Gather with constant indices; outside of a cropped region
          Where puts extrapolation_value.
Leaves    Axes of unknown length that are not merely repeated; scales, sizes or regions that are not
          constant; a kept aspect ratio; antialias; opset 10 where it shrinks, for which runtimes
          disagree.
Exact     exact.
Source    ops-nn common/src/framework/resize_onnx_plugin.cpp, August 2026; ONNX operator schema
          Resize-19.
"""

import numpy as np
from graphfix_rules.explicit import _resize as resize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# so near to a half, ONNX Runtime takes a coordinate for one
_HALF_WIDTH = 1e-6
# coordinates and roundings for which enlarging by k repeats every pixel k times
_REPEATING = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
    ("pytorch_half_pixel", "round_prefer_ceil"),
    ("tf_half_pixel_for_nn", "floor"),
}


class ResizeNearest(Rule):
    """Resize nearest -> Expand or Gather."""

    roots = ("Resize", "Upsample")
    fixes = (
        "Resize/nearest-mode-asymmetric",
        "Resize/nearest-mode-half-pixel",
        "Resize/nearest-mode-align-corners",
        "Resize/coordinate-mode-nearest",
        "Resize/pytorch-half-pixel-nearest",
        "Resize/nearest-rank",
        "Resize/nearest-scale-inexact",
        "Resize/nearest-outer-axes",
        "Resize/keep-aspect-ratio-nearest",
        "Upsample/opset-9-nearest",
    )

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a nearest Resize whose pixels are known."""
        mode = node.attributes.get("mode")
        if mode is not None and mode.s != b"nearest":
            return No("the mode is not nearest")
        if "antialias" in node.attributes and node.attributes["antialias"].i != 0:
            return No("antialias has no meaning for nearest")
        b = Builder(node, graph)
        repeats = _repeats(node, graph)
        if repeats is not None:
            return b.site(_repeated(b, repeats))
        geometry = resize.read_geometry(node, graph)
        if isinstance(geometry, No):
            return geometry
        if (graph.model.opset or 0) < 11 and any(a.scale < 1 for a in geometry.axes):
            return No("at opset 10 it is open how a smaller image is rounded")
        if geometry.coordinates == "tf_half_pixel_for_nn" and geometry.rounding != "floor":
            return No("these coordinates are for floor")
        x = node.input(0)
        assert x is not None and x.shape is not None
        result = x.name
        for entry in geometry.axes:
            indices = _indices(geometry.positions(entry), geometry.rounding)
            indices = np.clip(indices, 0, entry.size - 1)
            result = b.op("Gather", result, b.constant(indices), axis=entry.axis)
        mask = resize.outside_mask(geometry, len(x.shape))
        if mask is not None:
            outside = b.scalar(geometry.extrapolation, x)
            result = b.op("Where", b.constant(mask), outside, result)
        return b.site(result)

    examples = (
        Example(
            "g (float[1,2,4,5] x) => (float[1,2,3,5] y) <int64[4] s = {1, 2, 3, 5}>"
            " { y = Resize(x, , , s) }",
            after="g (float[1,2,4,5] x) => (float[1,2,3,5] y) <int64[3] i = {0, 1, 3}>"
            " { y = Gather<axis = 2>(x, i) }",
        ),
        Example(
            "g (float[1,2,4] x) => (float[1,2,8] y) <float[3] s = {1.0, 1.0, 2.0}>"
            ' { y = Resize<coordinate_transformation_mode = "asymmetric",'
            ' nearest_mode = "floor">(x, , s) }',
            after="g (float[1,2,4] x) => (float[1,2,8] y)"
            " <int64[4] a = {1, 2, 4, 1}, int64[4] b = {1, 2, 4, 2}, int64[3] c = {1, 2, 8}>"
            " { h = Reshape(x, a) e = Expand(h, b) y = Reshape(e, c) }",
            opset=13,
        ),
        Example(
            "g (float[N,C,L] x) => (float[N,C,K] y) <float[3] s = {1.0, 1.0, 3.0}>"
            " { y = Resize(x, , s) }",
            after=["Unsqueeze", "Expand", "Shape", "Mul", "Reshape"],
        ),
        Example(
            "g (float[1,1,4,4] x) => (float[1,1,3,3] y)"
            " <float[8] r = {0.0, 0.0, 0.2, 0.2, 1.0, 1.0, 1.5, 1.0}, int64[4] s = {1, 1, 3, 3},"
            " float[0] n = {}>"
            ' { y = Resize<coordinate_transformation_mode = "tf_crop_and_resize",'
            " extrapolation_value = 7.0>(x, r, n, s) }",
            after=["Gather", "Gather", "Where"],
        ),
        Example(
            "g (float[1,2,4,6] x) => (float[1,2,5,8] y) <int64[2] s = {5, 6}>"
            ' { y = Resize<axes = [2, 3], keep_aspect_ratio_policy = "not_smaller">(x, , , s) }',
            after=["Gather", "Gather"],
            opset=18,
        ),
        Example(
            "g (float[1,2,4,6] x) => (float[1,2,6,9] y) <float[4] s = {1.0, 1.0, 1.5, 1.5}>"
            " { y = Upsample(x, s) }",
            after=["Gather", "Gather"],
            opset=9,
        ),
        NearMiss(
            "g (float[1,2,H,5] x) => (float[1,2,J,5] y) <float[4] s = {1.0, 1.0, 0.5, 1.0}>"
            " { y = Resize(x, , s) }",
            reason="the length of a resized axis is not known",
        ),
        NearMiss(
            "g (float[2,4,5] x) => (float[2,2,5] y) <float[3] s = {1.0, 0.5, 1.0}>"
            " { y = Resize(x, s) }",
            reason="at opset 10 it is open",
            opset=10,
        ),
        NearMiss(
            "g (float[2,4,5] x) => (float[2,2,5] y) <float[3] s = {1.0, 0.5, 1.0}>"
            ' { y = Resize<mode = "linear">(x, , s) }',
            reason="the mode is not nearest",
        ),
    )


def _indices(positions: np.ndarray, rounding: str) -> np.ndarray:
    if rounding == "floor":
        return np.floor(positions).astype(np.int64)
    if rounding == "ceil":
        return np.ceil(positions).astype(np.int64)
    exact = positions.astype(np.float64)
    below = np.floor(exact)
    is_half = np.abs(exact - below - 0.5) < _HALF_WIDTH
    upper = is_half if rounding == "round_prefer_ceil" else np.zeros_like(is_half)
    return (below + np.where(is_half, upper, exact - below > 0.5)).astype(np.int64)


def _repeats(node: Node, graph: Graph) -> list[int] | None:
    """Return how often each axis is repeated, None where it is not mere repetition."""
    opset, x = graph.model.opset or 0, node.input(0)
    if x is None or x.shape is None or x.dtype is None:
        return None
    if opset < 11:
        key = ("asymmetric", "floor")
    else:
        key = tuple(
            node.attributes[name].s.decode() if name in node.attributes else default
            for name, default in (
                ("coordinate_transformation_mode", "half_pixel"),
                ("nearest_mode", "round_prefer_floor"),
            )
        )
    if key not in _REPEATING or node.attributes.get("axes") is not None:
        return None
    policy = node.attributes.get("keep_aspect_ratio_policy")
    sizes, scales = node.input(3), node.input(1 if opset < 11 else 2)
    if sizes is not None and sizes.shape != (0,):
        if sizes.known is None or sizes.known.size != len(x.shape):
            return None
        if policy is not None and policy.s != b"stretch":
            return None
        found = []
        for size, out in zip(x.shape, sizes.known.reshape(-1).tolist(), strict=True):
            if not isinstance(size, int) or size < 1 or out % size or out < 1:
                return None
            found.append(out // size)
    else:
        if scales is None or scales.known is None or scales.known.size != len(x.shape):
            return None
        numbers = [float(s) for s in scales.known.reshape(-1)]
        if not all(s >= 1 and s.is_integer() for s in numbers):
            return None
        found = [int(s) for s in numbers]
    return found if any(k > 1 for k in found) else None


def _repeated(b: Builder, repeats: list[int]) -> str:
    x = b.node.input(0)
    assert x is not None and x.shape is not None
    apart = [k for r in repeats for k in ((1, r) if r > 1 else (1,))]
    if all(isinstance(d, int) for d in x.shape):
        dims = [int(str(d)) for d in x.shape]
        opened, spread = [], []
        for dim, r in zip(dims, repeats, strict=True):
            opened += [dim, 1] if r > 1 else [dim]
            spread += [dim, r] if r > 1 else [dim]
        wide = b.op("Expand", b.reshape(x.name, opened), b.ints(*spread))
        return b.reshape(wide, [d * r for d, r in zip(dims, repeats, strict=True)])
    axes, position = [], 0
    for r in repeats:
        position += 1
        if r > 1:
            axes.append(position)
            position += 1
    wide = b.op("Expand", b.unsqueeze(x.name, axes), b.ints(*apart))
    return b.op("Reshape", wide, b.op("Mul", b.op("Shape", x.name), b.ints(*repeats)))
