"""Write the pads of Pad for all axes, because CANN has no input for axes and no wrapping.

Why       The axes input of opset 18 is dropped by tagged releases and refused by the newest source
          (E19999); the mode wrap of opset 19 is none that CANN knows.
Rewrites  Pad(x, pads, value, axes) -> Pad(x, pads of all axes, value); pads that the model computes
          are put in their places by Gather;
          Pad<mode = wrap> -> Slice and Concat on each axis that it lengthens.
Leaves    axes that are not constant; wrapping with pads that are not, around an axis whose dim is
          no number, more than once, or with pads that cut.
Exact     exact.
Source    ops-math conversion/pad_v3/framework/pad_onnx_plugin.cpp, August 2026; ONNX operator
          schemas Pad-18 and -19.
"""

from graphfix_rules.explicit import _pad as pad

from graphfix.graph import Graph, Node, Shape
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_TO_THE_END = 2**63 - 1


class PadAxes(Rule):
    """Pad with axes, or that wraps -> pads of all axes, or Slice and Concat."""

    roots = ("Pad",)
    fixes = ("Pad/axes-refused", "Pad/axes-dropped", "Pad/mode-wrap", "Pad/mode")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on axes, or on the mode wrap, when pads, axes and rank are known."""
        x, pads = node.input(0), node.input(1)
        b = Builder(node, graph)
        wraps = "mode" in node.attributes and node.attributes["mode"].s == b"wrap"
        if not b.given(3) and not wraps:
            return No("its pads count for all axes")
        if x is None or x.shape is None:
            return No("the rank is not known")
        if pads is None:
            return No("it has no pads")
        rank = len(x.shape)
        axes = list(range(rank))
        if b.given(3):
            value = node.input(3)
            if value is None or value.known is None:
                return No("the axes are not constant")
            axes = [int(a) for a in value.known.reshape(-1)]
        if any(not -rank <= a < rank for a in axes):
            return No("axes do not fit the input")
        axes = [a % rank for a in axes]
        if len(set(axes)) != len(axes):
            return No("an axis is named twice")
        if pads.known is None:
            return No("the pads are not constant") if wraps else _computed(b, node, axes, rank)
        numbers = [int(p) for p in pads.known.reshape(-1)]
        if len(numbers) != 2 * len(axes):
            return No("pads and axes do not fit the input")
        begins, ends = [0] * rank, [0] * rank
        for axis, begin, end in zip(axes, numbers, numbers[len(axes) :], strict=False):
            begins[axis], ends[axis] = begin, end
        if wraps:
            return _wrap(b, x.name, x.shape, begins, ends)
        inputs = [x.name, b.ints(*begins, *ends)]
        if b.given(2):
            inputs.append(node.inputs[2])
        return b.site(b.copy(node, inputs)[0])

    examples = (
        Example(
            "g (float[N,3,4] x) => (float[N,6,4] y) <int64[2] p = {1, 2}, int64[1] a = {-2}> "
            '{ y = Pad<mode = "edge">(x, p, "", a) }',
            after="g (float[N,3,4] x) => (float[N,6,4] y) <int64[6] p = {0, 1, 0, 0, 2, 0}> "
            '{ y = Pad<mode = "edge">(x, p) }',
            opset=18,
        ),
        Example(
            "g (float[2,3] x, float v) => (float[4,4] y) "
            "<int64[4] p = {1, 2, 0, 0}, int32[2] a = {1, 0}> { y = Pad(x, p, v, a) }",
            after="g (float[2,3] x, float v) => (float[4,4] y) <int64[4] p = {2, 1, 0, 0}> "
            "{ y = Pad(x, p, v) }",
            opset=18,
        ),
        Example(
            "g (float[N,3,4] x) => (float[N,6,5] y) <int64[4] p = {1, 0, 2, 1}, "
            'int64[2] a = {1, 2}> { y = Pad<mode = "wrap">(x, p, "", a) }',
            after=["Slice", "Slice", "Concat", "Slice", "Concat"],
            opset=18,
        ),
        Example(
            "g (float[2,3] x) => (float[2,3] y) <int64[4] p = {0, 0, 0, 0}> "
            '{ y = Pad<mode = "wrap">(x, p) }',
            after=["Identity"],
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,5] y) <int64[4] p = {0, 1, 0, 1}> { y = Pad(x, p) }",
            reason="its pads count for all axes",
            opset=18,
        ),
        Example(
            "g (float[2,3] x, int64[2] p) => (float[2,M] y) <int64[1] a = {1}> "
            '{ y = Pad(x, p, "", a) }',
            after="g (float[2,3] x, int64[2] p) => (float[2,M] y) "
            "<int64[1] z = {0}, int64[4] i = {2, 0, 2, 1}> "
            "{ q = Concat<axis = 0>(p, z) r = Gather<axis = 0>(q, i) y = Pad(x, r) }",
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x, int64[2] p) => (float[2,M] y) <int64[1] a = {1}> "
            '{ y = Pad<mode = "wrap">(x, p, "", a) }',
            reason="the pads are not constant",
            opset=18,
        ),
        NearMiss(
            "g (float[2,N] x) => (float[2,M] y) <int64[4] p = {0, 1, 0, 0}> "
            '{ y = Pad<mode = "wrap">(x, p) }',
            reason="it wraps around an axis whose dim is not a number",
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,7] y) <int64[4] p = {0, 4, 0, 0}> "
            '{ y = Pad<mode = "wrap">(x, p) }',
            reason="it wraps more than once",
            opset=18,
        ),
    )


def _computed(b: Builder, node: Node, axes: list[int], rank: int) -> Site:
    """Return the site that puts pads which the model computes in their places among zeros."""
    inputs = [node.inputs[0], pad.for_all_axes(b, node.inputs[1], axes, rank)]
    if b.given(2):
        inputs.append(node.inputs[2])
    return b.site(b.copy(node, inputs)[0])


def _wrap(b: Builder, x: str, shape: Shape, begins: list[int], ends: list[int]) -> Site | No:
    """Return the site that puts the end of each axis before it and its beginning behind it."""
    result = x
    for axis, (dim, begin, end) in enumerate(zip(shape, begins, ends, strict=True)):
        if begin == end == 0:
            continue
        if not isinstance(dim, int):
            return No("it wraps around an axis whose dim is not a number")
        if min(begin, end) < 0:
            return No("its pads cut")
        if max(begin, end) > dim:
            return No("it wraps more than once around an axis")
        parts = [result]
        if begin:
            parts.insert(0, b.slice(result, [dim - begin], [_TO_THE_END], [axis]))
        if end:
            parts.append(b.slice(result, [0], [end], [axis]))
        result = b.op("Concat", *parts, axis=axis)
    return b.site(b.op("Identity", x) if result == x else result)
