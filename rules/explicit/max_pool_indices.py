"""Compute the Indices of MaxPool apart from it, because CANN refuses the second output.

Why       The plugin of MaxPool refuses Indices, used or not, and storage_order 1 (EZ9999).
Rewrites  Indices that nobody uses are left out. Else each axis is padded with the lowest number and
          every offset in the window becomes a strided Slice; ReduceMax over them is the result,
          ArgMax the offset, which a constant table and the position of the window turn into the
          index in the flattened tensor.
Leaves    Shapes that are not known; element types other than floats; windows of more than 64
          elements; ceil_mode; auto_pad SAME.
Exact     exact for finite numbers; ONNX does not say which index comes out when NaN is in the
          window, and where all of a padded window is -inf it may be one in the padding.
Source    ops-nn common/src/framework/max_pool_onnx_plugin.cpp, August 2026; ONNX operator schema
          MaxPool-12.
"""

import itertools
import math

import numpy as np

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_MOST = 64

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Pad", "Slice", "Unsqueeze", "Slice", "Unsqueeze", "Slice", "Unsqueeze", "Slice", "Unsqueeze",
    "Slice", "Unsqueeze", "Slice", "Unsqueeze", "Slice", "Unsqueeze", "Slice", "Unsqueeze",
    "Slice", "Unsqueeze", "Concat", "ReduceMax", "ArgMax", "Gather", "Add",
]  # fmt: skip
_EXAMPLE_2 = [
    "Slice", "Unsqueeze", "Slice", "Unsqueeze", "Slice", "Unsqueeze", "Slice", "Unsqueeze",
    "Concat", "ReduceMax", "ArgMax", "Gather", "Add",
]  # fmt: skip


class MaxPoolIndices(Rule):
    """MaxPool with Indices -> Slices, ReduceMax, ArgMax."""

    roots = ("MaxPool",)
    exactness = Exactness.ROUNDING  # indices are compared as they are; NaN is left out
    fixes = ("MaxPool/indices-output", "MaxPool/storage-order")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a second output, or on storage_order 1."""
        has_order = "storage_order" in node.attributes and node.attributes["storage_order"].i != 0
        second = node.output(1)
        if len(node.outputs) < 2 and not has_order:
            return No("it has no second output")
        b = Builder(node, graph)
        if second is None or not (second.uses or second.is_output):
            copy = b.copy(node, storage_order=None)
            return _one_output(b, copy[0])
        x = node.input(0)
        if x is None or x.dtype not in dtypes.FLOATS:
            return No("the input is not known to be of floats")
        if x.shape is None or len(x.shape) < 3 or not all(isinstance(d, int) for d in x.shape):
            return No("the shape is not static")
        shape = [int(d) for d in x.shape if isinstance(d, int)]
        size = shape[2:]
        rank = len(size)
        if "auto_pad" in node.attributes and node.attributes["auto_pad"].s != b"NOTSET":
            return No("auto_pad is not NOTSET")
        if "ceil_mode" in node.attributes and node.attributes["ceil_mode"].i != 0:
            return No("ceil_mode is 1")
        kernel = list(node.attributes["kernel_shape"].ints)
        strides, dilations, pads = (
            list(node.attributes[k].ints) if k in node.attributes else d
            for k, d in (("strides", [1] * rank), ("dilations", [1] * rank),
                         ("pads", [0] * 2 * rank))
        )  # fmt: skip
        if math.prod(kernel) > _MOST or not kernel:
            return No(f"the window has more than {_MOST} elements")
        if b.opset < 11:
            return No("below opset 11 pads are an attribute")
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        out = [
            (n + pads[i] + pads[i + rank] - reach[i]) // strides[i] + 1 for i, n in enumerate(size)
        ]
        if min(out) < 1:
            return No("no window fits")
        source = x.name
        if any(pads):
            lowest = b.scalar(-math.inf, x)
            source = b.op("Pad", source, b.ints(0, 0, *pads[:rank], 0, 0, *pads[rank:]), lowest)
        axes = list(range(2, 2 + rank))
        views = []
        offsets = list(itertools.product(*map(range, kernel)))
        for offset in offsets:
            starts = [o * d for o, d in zip(offset, dilations, strict=True)]
            ends = [s + (n - 1) * t + 1 for s, n, t in zip(starts, out, strides, strict=True)]
            views.append(b.unsqueeze(b.slice(source, starts, ends, axes, strides), [0]))
        stacked = views[0] if len(views) == 1 else b.op("Concat", *views, axis=0)
        y = b.reduce("ReduceMax", stacked, [0], keepdims=False)
        which = b.op("ArgMax", stacked, axis=0, keepdims=0)
        # how far a step along each axis goes in the flattened image
        order = range(rank) if has_order else range(rank - 1, -1, -1)
        stride_of, step = [0] * rank, 1
        for axis in order:
            stride_of[axis], step = step, step * size[axis]
        table = [sum(o * d * s for o, d, s in zip(offset, dilations, stride_of, strict=True))
                 for offset in offsets]  # fmt: skip
        base = np.zeros(out, np.int64)
        for axis in range(rank):
            places = (np.arange(out[axis]) * strides[axis] - pads[axis]) * stride_of[axis]
            base += places.reshape([-1 if i == axis else 1 for i in range(rank)])
        images = np.arange(shape[0] * shape[1], dtype=np.int64).reshape(
            shape[0], shape[1], *[1] * rank
        )
        moved = b.op("Gather", b.constant(np.array(table, np.int64)), which, axis=0)
        index = b.op("Add", moved, b.constant(base + images * math.prod(size)))
        results = {node.outputs[1]: index}
        if node.outputs[0]:
            results[node.outputs[0]] = y
        return b.site(results)

    examples = (
        Example(
            "g (float[1,1,5,5] x) => (float[1,1,5,5] y, int64[1,1,5,5] i)"
            " { y, i = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x) }",
            after=_EXAMPLE_1,
            opset=12,
        ),
        Example(
            "g (float[2,3,4,5] x) => (float[2,3,2,2] y, int64[2,3,2,2] i)"
            " { y, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2], storage_order = 1>(x) }",
            after=_EXAMPLE_2,
        ),
        Example(
            "g (float[N,3,8] x) => (float[N,3,7] y)"
            " { y, i = MaxPool<kernel_shape = [2], storage_order = 1>(x) }",
            after=["MaxPool"],
        ),
        NearMiss(
            "g (float[N,3,8,8] x) => (float[N,3,7,7] y) { y = MaxPool<kernel_shape = [2, 2]>(x) }",
            reason="it has no second output",
        ),
        NearMiss(
            "g (float[N,3,8,8] x) => (float[N,3,7,7] y, int64[N,3,7,7] i)"
            " { y, i = MaxPool<kernel_shape = [2, 2]>(x) }",
            reason="the shape is not static",
        ),
        NearMiss(
            "g (float[1,3,16,16] x) => (float[1,3,8,8] y, int64[1,3,8,8] i)"
            " { y, i = MaxPool<kernel_shape = [9, 9]>(x) }",
            reason="the window has more than 64 elements",
        ),
        NearMiss(
            "g (float[1,3,8,8] x) => (float[1,3,4,4] y, int64[1,3,4,4] i)"
            " { y, i = MaxPool<kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1>(x) }",
            reason="ceil_mode is 1",
        ),
    )


def _one_output(b: Builder, name: str) -> Site:
    """Return the site whose node gives its first output alone."""
    node = b.last
    del node.output[1:]
    return b.site(name)
