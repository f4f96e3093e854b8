"""Write LRN with an even window out, because CANN takes one channel less.

Why       CANN halves the window and rounds down: a window of 4 becomes one of 3, while alpha is
          still divided by 4.
Rewrites  LRN(x) -> x / (bias + alpha / size * sum)^beta, where sum is that of the squares of the
          channels c - (size - 1) / 2 ... c + size / 2, by slices of doubled width.
Leaves    An odd window; channels that are not known; unknown element types.
Exact     rounding: float32 within 2e-6; float16 and bfloat16 are computed in float32.
Source    ops-nn common/src/framework/lrn_onnx_plugin.cpp, August 2026; ONNX operator schema LRN-13.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeLrn(Rule):
    """LRN -> Pad, Slice, Add, Pow, Div."""

    roots = ("LRN",)
    exactness = Exactness.ROUNDING
    fixes = ("LRN/size-even",)
    tolerance = 5e-6

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an even window over a known number of channels."""
        size = node.attributes["size"].i if "size" in node.attributes else 0
        if size < 1 or size % 2:
            return No("the window is odd or missing")
        x = node.input(0)
        if x is None or x.dtype is None or x.shape is None or len(x.shape) < 2:
            return No("the element type or the rank is not known")
        channels = x.shape[1]
        if not isinstance(channels, int) or channels < 1:
            return No("the number of channels is not known")
        defaults = {"alpha": 0.0001, "beta": 0.75, "bias": 1.0}
        alpha, beta, bias = (
            node.attributes[k].f if k in node.attributes else v for k, v in defaults.items()
        )
        b = Builder(node, graph)
        if b.opset < 11:
            return No("below opset 11 Pad has another form")
        work = "float32" if x.dtype in ("float16", "bfloat16") else x.dtype
        source = b.cast(x.name, work) if work != x.dtype else x.name
        rank = len(x.shape)
        before = [0, (size - 1) // 2] + [0] * (rank - 2)
        after = [0, size // 2] + [0] * (rank - 2)
        square = b.op("Mul", source, source)
        window = b.op("Pad", square, b.ints(*before, *after), b.scalar(0.0, work))
        total = _sums(b, window, size, channels)
        scaled = b.op("Mul", total, b.scalar(alpha / size, work))
        base = b.op("Add", scaled, b.scalar(bias, work))
        result = b.op("Div", source, b.op("Pow", base, b.scalar(beta, work)))
        return b.site(b.cast(result, x.dtype) if work != x.dtype else result)

    # the batch is as long as the channels because onnx's reference evaluator, the only engine that
    # takes an even window, fills no more channels than that
    examples = (
        Example(
            "g (float[5,5,2,3] x) => (float[5,5,2,3] y) { y = LRN<size = 2>(x) }",
            after=["Mul", "Pad", "Slice", "Slice", "Add", "Slice", "Mul", "Add", "Pow", "Div"],
        ),
        Example(
            "g (float[4,4,2,3] x) => (float[4,4,2,3] y)"
            " { y = LRN<size = 6, alpha = 0.5, beta = 0.5, bias = 2.0>(x) }",
            after=[
                "Mul",
                "Pad",
                "Slice",
                "Slice",
                "Add",
                "Slice",
                "Slice",
                "Slice",
                "Add",
                "Slice",
                "Add",
                "Mul",
                "Add",
                "Pow",
                "Div",
            ],
            opset=13,
        ),
        NearMiss(
            "g (float[1,6,2,3] x) => (float[1,6,2,3] y) { y = LRN<size = 5>(x) }",
            reason="the window is odd or missing",
        ),
        NearMiss(
            "g (float[1,C,2,3] x) => (float[1,C,2,3] y) { y = LRN<size = 4>(x) }",
            reason="the number of channels is not known",
        ),
        NearMiss(
            "g (float[] x) => (float[] y) { y = LRN<size = 4>(x) }",
            reason="the element type or the rank is not known",
        ),
    )


def _sums(b: Builder, window: str, size: int, channels: int) -> str:
    """Sum `size` neighbours: sums of 1, 2, 4 ... neighbours, those that `size` is made of."""
    length, width, offset = channels + size - 1, 1, 0
    total = ""
    while True:
        if size & width:
            piece = b.slice(window, [offset], [offset + channels], [1])
            total = b.op("Add", total, piece) if total else piece
            offset += width
        if 2 * width > size:
            return total
        left = b.slice(window, [0], [length - width], [1])
        right = b.slice(window, [width], [length], [1])
        window = b.op("Add", left, right)
        length, width = length - width, 2 * width
