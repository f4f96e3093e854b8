"""Write DFT as one MatMul with a constant matrix, because CANN registers it at no opset.

Why       The parser of ATC does not know DFT (E19010).
Rewrites  The axis is moved to the place before the parts (Transpose), joined with them (Reshape),
          multiplied by the matrix of cosines and sines, and moved back. A dft_length shorter than
          the signal cuts it, a longer one needs no zeros; forward, inverse, one-sided, and the real
          inverse of a one-sided spectrum.
Leaves    Axes and lengths that are not constant or not known; matrices of more than 2^22 elements;
          a one-sided spectrum longer than its inverse needs, about which engines disagree.
Exact     rounding: float32 within 1e-4, as the sums have another order than in a fast transform.
Source    ONNX operator schemas DFT-17, DFT-20; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _fourier as fourier

from graphfix.graph import Graph, Node, Value, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeDft(Rule):
    """DFT -> Transpose, Reshape, MatMul, Reshape, Transpose."""

    roots = ("DFT",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101",)
    tolerance = 1e-4

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the axis and its length are known."""
        x = node.input(0)
        if x is None or x.shape is None or x.dtype not in dtypes.FLOATS:
            return No("the shape or the element type is not known")
        rank, parts = len(x.shape), x.shape[-1] if x.shape else None
        if rank < 3 or parts not in (1, 2):
            return No("the last dim is not known to be 1 or 2")
        axis = _axis(node, graph)
        if isinstance(axis, No):
            return axis
        axis += rank if axis < 0 else 0
        if not 0 <= axis < rank - 1:
            return No("axis is out of range")
        size = x.shape[axis]
        if not isinstance(size, int) or size < 1:
            return No("the length of the axis is not known")
        flags = {k: k in node.attributes and node.attributes[k].i != 0
                 for k in ("inverse", "onesided")}  # fmt: skip
        is_real_inverse = flags["inverse"] and flags["onesided"]
        if flags["onesided"] and not flags["inverse"] and parts == 2:
            return No("a complex signal has no one-sided spectrum")
        if is_real_inverse and parts == 1:
            return No("a one-sided spectrum without imaginary parts")
        length = _number(node.input(1), 2 * (size - 1) if is_real_inverse else size)
        if length is None or length < 1:
            return No("dft_length is not constant")
        samples = min(size, length // 2 + 1 if is_real_inverse else length)
        if is_real_inverse and samples < size:
            return No("engines disagree about the part of a one-sided spectrum that is cut off")
        bins = length // 2 + 1 if flags["onesided"] and not is_real_inverse else length
        if samples * parts * bins * 2 > fourier.MAX_ELEMENTS:
            return No("the matrix has more than 2^22 elements")
        if is_real_inverse:
            matrix = fourier.real_inverse(samples, length)
        else:
            matrix = fourier.transform(samples, length, is_complex=parts == 2,
                                       is_inverse=flags["inverse"],
                                       is_onesided=flags["onesided"])  # fmt: skip
        b = Builder(node, graph)
        y = x.name
        if samples < size:
            y = b.slice(y, [0], [samples], [axis])
        perm = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]
        is_moved = axis != rank - 2
        if is_moved:
            y = b.op("Transpose", y, perm=perm)
        y = b.reshape(y, [0] * (rank - 2) + [samples * parts])
        flat = matrix.reshape(samples * parts, -1)
        y = b.op("MatMul", y, b.constant(flat, x.dtype))
        y = b.reshape(y, [0] * (rank - 2) + [matrix.shape[2], matrix.shape[3]])
        if is_moved:
            y = b.op("Transpose", y, perm=[perm.index(i) for i in range(rank)])
        return b.site(y)

    examples = (
        Example(
            "g (float[2,10,1] x) => (float[2,10,2] y) { y = DFT(x) }",
            after=["Reshape", "MatMul", "Reshape"],
        ),
        Example(
            "g (float[N,6,4,2] x) => (float[N,5,4,2] y) <int64 n = {5}>"
            " { y = DFT<axis = 1, inverse = 1>(x, n) }",
            after=["Slice", "Transpose", "Reshape", "MatMul", "Reshape", "Transpose"],
        ),
        Example(
            "g (float[2,4,7,1] x) => (float[2,4,4,2] y) { y = DFT<onesided = 1>(x) }",
            after=["Reshape", "MatMul", "Reshape"],
            opset=20,
            target=17,
        ),
        NearMiss(
            "g (float[2,N,1] x) => (float[2,N,2] y) { y = DFT(x) }",
            reason="the length of the axis is not known",
        ),
        NearMiss(
            "g (float[2,8,1] x, int64 n) => (float[2,M,2] y) { y = DFT(x, n) }",
            reason="dft_length is not constant",
        ),
        NearMiss(
            "g (float[2,8,2] x) => (float[2,5,2] y) { y = DFT<onesided = 1>(x) }",
            reason="a complex signal has no one-sided spectrum",
        ),
        NearMiss(
            "g (float[2,8,1] x, int64 a) => (float[2,8,2] y) { y = DFT(x, , a) }",
            reason="the axis is not constant",
            opset=20,
            target=17,
        ),
    )


def _axis(node: Node, graph: Graph) -> int | No:
    if (graph.model.opset or 0) < 20:
        return int(node.attributes["axis"].i) if "axis" in node.attributes else 1
    axis = _number(node.input(2), -2)
    return No("the axis is not constant") if axis is None else axis


def _number(value: Value | None, default: int) -> int | None:
    """Return a constant scalar, the default where it is left out, None where it is not known."""
    if value is None:
        return default
    if value.constant is None or value.known is None or value.known.size != 1:
        return None
    return int(value.known.reshape(-1)[0])
