"""Write scales and sizes of Resize for every axis, because CANN never reads axes.

Why       Scales and sizes are taken as those of all axes in order.
Rewrites  Resize<axes>(x, roi, scales, sizes) -> Resize(x, ...) with 1 as the scale, and the input's
          length as the size, of the axes that were left out. From opset 18 down, the attributes of
          opset 18 go as well where they have no effect.
Leaves    A Resize without axes; a kept aspect ratio; antialias from opset 18 down; a region of
          interest that is not constant; unknown ranks.
Exact     exact.
Source    ops-nn common/src/framework/resize_onnx_plugin.cpp, August 2026; ONNX operator schema
          Resize-18.
"""

import numpy as np

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_NEW = ("axes", "antialias", "keep_aspect_ratio_policy")  # attributes of opset 18


class ResizeAxes(Rule):
    """Resize with axes -> with scales or sizes of full rank."""

    roots = ("Resize",)
    fixes = ("Resize/axes",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on axes, and on any attribute of opset 18 where an older one is due."""
        b = Builder(node, graph)
        is_lowered = (graph.model.opset or 0) >= 18 > b.opset
        has_axes = "axes" in node.attributes and len(node.attributes["axes"].ints) > 0
        if not has_axes and not (is_lowered and any(a in node.attributes for a in _NEW)):
            return No("there are no axes")
        x = node.input(0)
        if x is None or x.shape is None:
            return No("the rank is not known")
        rank = len(x.shape)
        scales, sizes = node.input(2), node.input(3)
        by_size = sizes is not None and sizes.shape != (0,)
        policy = node.attributes.get("keep_aspect_ratio_policy")
        if by_size and policy is not None and policy.s != b"stretch":
            return No("the aspect ratio is kept")
        if is_lowered and "antialias" in node.attributes and node.attributes["antialias"].i != 0:
            return No("below opset 18 there is no antialias")
        drop = dict.fromkeys(_NEW) if is_lowered else {"axes": None}
        inputs = [node.inputs[i] if i < len(node.inputs) else "" for i in range(4)]
        if has_axes:
            axes = [a + rank if a < 0 else a for a in node.attributes["axes"].ints]
            if len(set(axes)) != len(axes) or not all(0 <= a < rank for a in axes):
                return No("axes are out of range")
            roi = _region(b, node, axes, rank)
            if isinstance(roi, No):
                return roi
            inputs[1] = roi
            value = sizes if by_size else scales
            if value is None or value.shape != (len(axes),):
                return No("scales and sizes do not have one entry for each axis")
            inputs[3 if by_size else 2] = _full(b, x, value, axes, rank, by_size)
        if by_size:
            inputs[2] = ""
        if b.opset < 13:  # there the region and the scales have to be given
            inputs[1:3] = [name or b.constant(np.zeros(0, np.float32)) for name in inputs[1:3]]
        return b.site(b.copy(node, inputs if by_size else inputs[:3], **drop)[0])

    examples = (
        Example(
            "g (float[1,2,4,5] x) => (float[1,2,8,10] y) <float[2] s = {2.0, 2.0}>"
            ' { y = Resize<axes = [2, 3], mode = "linear">(x, , s) }',
            after="g (float[1,2,4,5] x) => (float[1,2,8,10] y)"
            " <float[4] s = {1.0, 1.0, 2.0, 2.0}>"
            ' { y = Resize<mode = "linear">(x, , s) }',
            opset=18,
        ),
        Example(
            "g (float[1,2,4,5] x) => (float[1,2,6,3] y) <int64[2] s = {3, 6}>"
            ' { y = Resize<axes = [3, 2], mode = "linear">(x, , , s) }',
            after="g (float[1,2,4,5] x) => (float[1,2,6,3] y) <int64[4] s = {1, 2, 6, 3}>"
            ' { y = Resize<mode = "linear">(x, , , s) }',
            opset=18,
        ),
        Example(
            "g (float[N,2,4,5] x) => (float[N,2,6,3] y) <int64[2] s = {6, 3}>"
            ' { y = Resize<axes = [2, 3], mode = "linear">(x, , , s) }',
            after=["Shape", "Slice", "Concat", "Resize"],
            opset=18,
        ),
        Example(
            "g (float[1,2,4,5] x) => (float[1,2,8,5] y) <float[1] s = {2.0}>"
            ' { y = Resize<axes = [-2], mode = "linear", antialias = 0>(x, , s) }',
            after="g (float[1,2,4,5] x) => (float[1,2,8,5] y)"
            " <float[4] s = {1.0, 1.0, 2.0, 1.0}>"
            ' { y = Resize<mode = "linear">(x, , s) }',
            opset=18,
            target=17,
        ),
        NearMiss(
            "g (float[1,2,4,5] x) => (float[1,2,8,5] y) <float[4] s = {1.0, 1.0, 2.0, 1.0}>"
            ' { y = Resize<mode = "linear">(x, , s) }',
            reason="there are no axes",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,4,5] x) => (float[1,2,6,7] y) <int64[2] s = {6, 9}>"
            ' { y = Resize<axes = [2, 3], keep_aspect_ratio_policy = "not_larger">(x, , , s) }',
            reason="the aspect ratio is kept",
            opset=18,
        ),
        NearMiss(
            "g (float[1,2,4,5] x, float[4] r) => (float[1,2,2,5] y) <int64[2] s = {2, 5}>"
            " { y = Resize<axes = [2, 3],"
            ' coordinate_transformation_mode = "tf_crop_and_resize">(x, r, , s) }',
            reason="the region of interest is not constant",
            opset=18,
        ),
    )


def _region(b: Builder, node: Node, axes: list[int], rank: int) -> str | No:
    """Return the name of the region of interest for all axes; empty where none is read."""
    mode = node.attributes.get("coordinate_transformation_mode")
    if mode is None or mode.s != b"tf_crop_and_resize":
        return ""
    value = node.input(1)
    if value is None or value.known is None or value.known.size != 2 * len(axes):
        return No("the region of interest is not constant")
    full = np.array([0.0] * rank + [1.0] * rank, value.known.dtype)
    for index, axis in enumerate(axes):
        full[axis] = value.known[index]
        full[rank + axis] = value.known[len(axes) + index]
    return b.constant(full)


def _full(b: Builder, x: Value, value: Value, axes: list[int], rank: int, by_size: bool) -> str:
    """Return the name of scales or sizes for all axes."""
    assert x.shape is not None
    rest = [d if by_size else 1.0 for d in x.shape]
    if value.known is not None and all(
        isinstance(rest[i], (int, float)) for i in range(rank) if i not in axes
    ):
        for axis, entry in zip(axes, value.known.tolist(), strict=True):
            rest[axis] = entry
        return b.constant(np.array(rest, value.known.dtype))
    shape, pieces, i = "", [], 0
    while i < rank:
        end = i + 1
        if i in axes:
            # neighbours that stand side by side in the given vector stay together
            first = axes.index(i)
            while end < rank and end in axes and axes.index(end) == first + end - i:
                end += 1
            whole = end - i == len(axes)
            pieces.append(
                value.name if whole else b.slice(value.name, [first], [first + end - i], [0])
            )
        else:
            while end < rank and end not in axes:
                end += 1
            if by_size:
                shape = shape or b.op("Shape", x.name)
                pieces.append(b.slice(shape, [i], [end], [0]))
            else:
                pieces.append(b.constant(np.ones(end - i), value.dtype or "float32"))
        i = end
    return pieces[0] if len(pieces) == 1 else b.op("Concat", *pieces, axis=0)
