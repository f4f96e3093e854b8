"""Write CenterCropPad as Pad and Slice, because CANN registers it at no opset.

Why       The parser of ATC does not know CenterCropPad (E19010), and its Pad has no input for axes.
Rewrites  Static dims and a constant shape: one Pad for the axes that grow, one Slice for those that
          shrink. Else both, with amounts computed from Shape, and pads of all axes.
Leaves    Inputs of unknown rank; several equal axes.
Exact     exact.
Source    ONNX operator schema CenterCropPad-18; registrations of the ops-* plugins, August 2026.
"""

from collections.abc import Sequence

from graphfix_rules.explicit import _pad as pad

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_2 = [
    "Cast", "Shape", "Gather", "Max", "Sub", "Div", "Sub", "Concat", "Concat", "Gather", "Pad",
    "Sub", "Div", "Add", "Slice",
]  # fmt: skip


class DecomposeCenterCropPad(Rule):
    """CenterCropPad -> Pad, Slice."""

    roots = ("CenterCropPad",)
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where rank and element type are known."""
        x, shape = node.input(0), node.input(1)
        if x is None or x.shape is None or shape is None or shape.dtype is None:
            return No("the rank is not known")
        rank = len(x.shape)
        axes = [*node.attributes["axes"].ints] if "axes" in node.attributes else [*range(rank)]
        if any(not -rank <= axis < rank for axis in axes):
            return No("axes are out of range")
        axes = [axis % rank for axis in axes]
        if not axes or len(set(axes)) != len(axes):
            return No("no axis is named, or one twice")
        b = Builder(node, graph)
        if b.opset < 11:
            return No("below opset 11 pads are an attribute")
        dims = [x.shape[axis] for axis in axes]
        sizes = _constant(shape)
        if sizes is not None and all(isinstance(d, int) for d in dims):
            known = [int(d) for d in dims if isinstance(d, int)]
            if len(sizes) != len(axes) or min(sizes) < 0:
                return No("shape does not fit the axes")
            return _static(b, x, axes, list(zip(known, sizes, strict=True)))
        wanted = shape.name if shape.dtype == "int64" else b.cast(shape.name, "int64")
        found = b.op("Gather", b.op("Shape", x.name), b.ints(*axes), axis=0)
        # numbers below 2^24 stay exact in any form of Max; dims are
        larger = b.op("Max", found, wanted)
        amount = b.op("Sub", larger, found)
        two = b.ints(2)
        before = b.op("Div", amount, two)
        pads = b.op("Concat", before, b.op("Sub", amount, before), axis=0)
        padded = b.op("Pad", x.name, pad.for_all_axes(b, pads, axes, rank))
        starts = b.op("Div", b.op("Sub", larger, wanted), two)
        ends = b.op("Add", starts, wanted)
        return b.site(b.op("Slice", padded, starts, ends, b.ints(*axes)))

    examples = (
        Example(
            "g (float[20,8,3] x) => (float[10,9,3] y) <int64[2] s = {10, 9}>"
            " { y = CenterCropPad<axes = [0, 1]>(x, s) }",
            after="g (float[20,8,3] x) => (float[10,9,3] y) <int64[6] p = {0, 0, 0, 0, 1, 0},"
            " int64[1] f = {5}, int64[1] e = {15}, int64[1] a = {0}>"
            " { h = Pad(x, p) y = Slice(h, f, e, a) }",
            opset=18,
        ),
        Example(
            "g (float[20,N,3] x) => (float[10,9,3] y) <int32[2] s = {10, 9}>"
            " { y = CenterCropPad<axes = [0, -2]>(x, s) }",
            after=_EXAMPLE_2,
            opset=18,
        ),
        Example(
            "g (float[2,3] x) => (float[2,3] y) <int64[2] s = {2, 3}> { y = CenterCropPad(x, s) }",
            after=["Identity"],
            opset=18,
        ),
        NearMiss(
            "g (float[] x) => (float[] y) <int64[2] s = {2, 3}> { y = CenterCropPad(x, s) }",
            reason="the rank is not known",
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[A,3] y) <int64[2] s = {2, 3}>"
            " { y = CenterCropPad<axes = [0, 0]>(x, s) }",
            reason="no axis is named, or one twice",
            opset=18,
        ),
    )


def _constant(value: Value) -> list[int] | None:
    if value.constant is None or value.known is None:
        return None
    return [int(i) for i in value.known.reshape(-1)]


def _static(b: Builder, x: Value, axes: Sequence[int], sizes: list[tuple[int, int]]) -> Site:
    """Return the site for dims and wanted sizes that are known."""
    assert x.shape is not None
    rank = len(x.shape)
    result, pads, cuts = x.name, [0] * 2 * rank, []
    for axis, (found, wanted) in zip(axes, sizes, strict=True):
        if wanted > found:
            pads[axis] = (wanted - found) // 2
            pads[axis + rank] = wanted - found - pads[axis]
        elif wanted < found:
            cuts.append((axis, (found - wanted) // 2, wanted))
    if any(pads):
        result = b.op("Pad", result, b.ints(*pads))
    if cuts:
        result = b.slice(result, [start for _, start, _ in cuts],
                         [start + size for _, start, size in cuts],
                         [axis for axis, _, _ in cuts])  # fmt: skip
    return b.site(b.op("Identity", result) if result == x.name else result)
