"""Gather what a dilated pooling window sees, because CANN takes a dense window.

Why       dilations never reach the 1-D and 2-D pooling of CANN, nor LpPool, nor the AveragePool
          of opset 19, which goes to 18.
Rewrites  Pool<kernel, strides, pads, dilations>(x) -> Pool<kernel, strides = kernel>(Gather(x)):
          on each dilated axis Gather lays the windows side by side. What MaxPool would see in the
          padding is another element of the same window; the others get a Pad with zeros.
Leaves    3-D MaxPool, which keeps its dilations; dilated axes whose size is not a number; a used
          Indices output; averages that count no padding but have some.
Exact     rounding of sums in LpPool and AveragePool; the others give the same number.
Source    ops-nn max_pool, average_pool and lppool_onnx_plugin.cpp, August 2026.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class PoolDilations(Rule):
    """Dilated pooling -> Gather and dense pooling."""

    roots = ("MaxPool", "AveragePool", "LpPool")
    exactness = Exactness.ROUNDING
    fixes = ("MaxPool/dilations", "AveragePool/dilations", "LpPool/dilations")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a window with a dilated axis of known size."""
        x, second = node.input(0), node.output(1)
        if x is None or x.shape is None or x.dtype is None:
            return No("the rank or the element type is not known")
        rank = len(x.shape) - 2
        lists = [_ints(node, name, rank) for name in ("kernel_shape", "strides", "dilations")]
        kernel, strides, dilations = (v if v is not None else [] for v in lists)
        pads = _ints(node, "pads", 2 * rank, 0)
        if None in lists or pads is None or "kernel_shape" not in node.attributes:
            return No("the lists do not fit the input")
        dilated = [i for i in range(rank) if kernel[i] > 1 and dilations[i] != 1]
        if not dilated:
            return No("no axis is dilated")
        is_max = node.op_type == "MaxPool"
        if is_max and rank > 2:
            return No("3-D pooling keeps dilations")
        if second is not None and (second.uses or second.is_output):
            return No("the output Indices is used")
        mode = node.attributes["auto_pad"].s if "auto_pad" in node.attributes else b"NOTSET"
        if mode not in (b"NOTSET", b"VALID"):
            return No("auto_pad is SAME")
        if mode == b"VALID" and any(pads):
            return No("pads stand beside auto_pad, which ONNX forbids")
        ceil = "ceil_mode" in node.attributes and node.attributes["ceil_mode"].i != 0
        if ceil and not is_max:
            return No("ceil_mode may take windows beyond the padding")
        counts = node.attributes.get("count_include_pad")
        averages_inside = node.op_type == "AveragePool" and (counts is None or counts.i == 0)
        if averages_inside and any(pads):
            return No("the average leaves the padding out")
        b = Builder(node, graph)
        source = x.name
        if not is_max and any(pads[i] or pads[i + rank] for i in dilated):
            whole = [0] * (2 * (rank + 2))
            for i in dilated:
                whole[i + 2], whole[i + 4 + rank] = pads[i], pads[i + rank]
            source = b.op("Pad", source, b.ints(*whole), b.scalar(0, x))
        for i in dilated:
            size = x.shape[i + 2]
            if not isinstance(size, int):
                return No("the size of a dilated axis is not a number")
            taps = _taps(size, kernel[i], strides[i], dilations[i], pads[i], pads[i + rank], ceil)
            if taps is None:
                return No("the window is larger than the input, or the last one outside of it")
            if is_max:
                inside = (taps >= 0) & (taps < size)
                if not inside.any(axis=1).all():
                    return No("a window lies in the padding alone")
                first = taps[np.arange(len(taps)), inside.argmax(axis=1)]
                taps = np.where(inside, taps, first[:, None])
            else:
                taps = taps + pads[i]
            source = b.op("Gather", source, b.ints(*taps.reshape(-1).tolist()), axis=i + 2)
            strides[i], pads[i], pads[i + rank] = kernel[i], 0, 0
        changes = {"dilations": None, "strides": strides, "pads": pads, "auto_pad": None}
        result = b.copy(node, [source], **changes)
        if len(result) > 1:
            return No("the output Indices is listed")
        return b.site(result[0])

    examples = (
        Example(
            "g (float[N,2,7,8] x) => (float[N,2,5,4] y) "
            "{ y = MaxPool<kernel_shape = [2, 3], dilations = [2, 2]>(x) }",
            after=["Gather", "Gather", "MaxPool"],
        ),
        Example(
            "g (float[1,2,9] x) => (float[1,2,4] y) { y = MaxPool"
            "<kernel_shape = [3], dilations = [3], pads = [2, 1], strides = [2], "
            "ceil_mode = 1>(x) }",
            after=["Gather", "MaxPool"],
            opset=11,
        ),
        Example(
            "g (float[1,2,H,8] x) => (float[1,2,H,4] y) { y = MaxPool"
            "<kernel_shape = [3, 2], dilations = [1, 4], pads = [1, 0, 1, 0]>(x) }",
            after=["Gather", "MaxPool"],
            opset=13,
        ),
        Example(
            "g (float[1,2,7,7] x) => (float[1,2,7,5] y) { y = LpPool"
            "<kernel_shape = [3, 2], dilations = [2, 2], pads = [2, 0, 2, 0]>(x) }",
            after=["Pad", "Gather", "Gather", "LpPool"],
            opset=18,
        ),
        Example(
            "g (float[1,2,7,7] x) => (float[1,2,5,3] y) { y = AveragePool"
            "<kernel_shape = [2, 3], dilations = [2, 2]>(x) }",
            after=["Gather", "Gather", "AveragePool"],
            opset=19,
            target=18,
        ),
        NearMiss(
            "g (float[1,2,7,8] x) => (float[1,2,6,7] y) "
            "{ y = MaxPool<kernel_shape = [2, 2], dilations = [1, 1]>(x) }",
            reason="no axis is dilated",
        ),
        NearMiss(
            "g (float[1,2,H,8] x) => (float[1,2,A,4] y) "
            "{ y = MaxPool<kernel_shape = [2, 2], dilations = [2, 4]>(x) }",
            reason="the size of a dilated axis is not a number",
        ),
        NearMiss(
            "g (float[1,2,7,8] x) => (float[1,2,5,6] y, int64[1,2,5,6] i) "
            "{ y, i = MaxPool<kernel_shape = [2, 2], dilations = [2, 2]>(x) }",
            reason="the output Indices is used",
        ),
        NearMiss(
            "g (float[1,2,5,5,5] x) => (float[1,2,3,3,3] y) "
            "{ y = MaxPool<kernel_shape = [2, 2, 2], dilations = [2, 2, 2]>(x) }",
            reason="3-D pooling keeps dilations",
        ),
        NearMiss(
            "g (float[1,2,7,8] x) => (float[1,2,7,8] y) { y = AveragePool"
            "<kernel_shape = [3, 3], dilations = [2, 2], pads = [2, 2, 2, 2]>(x) }",
            reason="the average leaves the padding out",
            opset=19,
            target=18,
        ),
    )


def _ints(node: Node, name: str, count: int, default: int = 1) -> list[int] | None:
    """Return a list attribute, the default where it is left out, None where its length is wrong."""
    attribute = node.attributes.get(name)
    found = list(attribute.ints) if attribute is not None else []
    return found if len(found) == count else None if found else [default] * count


def _taps(
    size: int, kernel: int, stride: int, dilation: int, begin: int, end: int, ceil: bool
) -> np.ndarray | None:
    """Return the positions that each window of an axis sees, [windows, kernel]."""
    rest = size + begin + end - ((kernel - 1) * dilation + 1)
    if rest < 0:
        return None
    windows = rest // stride + 1
    if ceil and rest % stride:
        # rounding up adds a window; whether one that starts behind the input counts is disputed
        if windows * stride >= size + begin:
            return None
        windows += 1
    return np.arange(windows)[:, None] * stride + np.arange(kernel) * dilation - begin
