"""Write STFT as a convolution with constant kernels, because CANN registers it at no opset.

Why       The parser of ATC does not know STFT (E19010).
Rewrites  Conv with windowed cosines and sines as kernels and frame_step as stride, then Reshape and
          Transpose to [batch, frames, bins, 2]. A window that is no constant is multiplied in.
Leaves    Frame lengths and steps that are not constant; kernels of more than 2^22 elements.
Exact     rounding: float32 within 1e-4, as the sums have another order than in a fast transform.
Source    ONNX operator schema STFT-17; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _fourier as fourier

from graphfix.graph import Graph, Node, Value, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeStft(Rule):
    """STFT -> Conv, Reshape, Transpose."""

    roots = ("STFT",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101",)
    tolerance = 1e-4

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where length and step of the frames are constant."""
        x, window = node.input(0), node.input(2)
        if x is None or x.shape is None or x.dtype not in dtypes.FLOATS:
            return No("the shape or the element type is not known")
        if len(x.shape) == 3 and x.shape[2] in (1, 2):
            is_complex = x.shape[2] == 2
        elif len(x.shape) == 2:
            is_complex = False
        else:
            return No("the last dim is not known to be 1 or 2")
        step = _number(node.input(1))
        if step is None or step < 1:
            return No("frame_step is not constant")
        length = _length(node, window)
        if length is None or length < 1:
            return No("the length of a frame is not known")
        is_onesided = "onesided" not in node.attributes or node.attributes["onesided"].i != 0
        if is_onesided and is_complex:
            return No("a complex signal has no one-sided spectrum")
        bins = length // 2 + 1 if is_onesided else length
        if 4 * length * bins > fourier.MAX_ELEMENTS:
            return No("the kernels have more than 2^22 elements")
        matrix = fourier.transform(
            length, length, is_complex=is_complex, is_inverse=False, is_onesided=is_onesided
        )
        b = Builder(node, graph)
        # [samples, parts in, bins, 2] -> [2 * bins, parts in, samples]
        kernel = matrix.transpose(3, 2, 1, 0).reshape(2 * bins, -1, length)
        weight = b.constant(kernel, x.dtype)
        if window is not None:
            weight = b.op("Mul", weight, window.name)
        if len(x.shape) == 2:
            signal = b.unsqueeze(x.name, [1])
        else:
            signal = b.op("Transpose", x.name, perm=[0, 2, 1])
        y = b.op("Conv", signal, weight, kernel_shape=[length], strides=[step], pads=[0, 0])
        y = b.reshape(y, [0, 2, bins, -1])
        return b.site(b.op("Transpose", y, perm=[0, 3, 2, 1]))

    examples = (
        Example(
            "g (float[1,32,1] x, float[8] w) => (float[1,7,5,2] y) <int64 s = {4}>"
            " { y = STFT(x, s, w) }",
            after=["Mul", "Transpose", "Conv", "Reshape", "Transpose"],
        ),
        Example(
            "g (float[N,20,1] x) => (float[N,9,4,2] y) <int64 s = {2}, int64 l = {4}>"
            " { y = STFT<onesided = 0>(x, s, , l) }",
            after=["Transpose", "Conv", "Reshape", "Transpose"],
        ),
        NearMiss(
            "g (float[1,32,1] x, float[8] w, int64 s) => (float[1,M,5,2] y) { y = STFT(x, s, w) }",
            reason="frame_step is not constant",
        ),
        NearMiss(
            "g (float[1,32,1] x, float[K] w) => (float[1,M,P,2] y) <int64 s = {4}>"
            " { y = STFT(x, s, w) }",
            reason="the length of a frame is not known",
        ),
        NearMiss(
            "g (float[1,32,2] x, float[8] w) => (float[1,7,5,2] y) <int64 s = {4}>"
            " { y = STFT(x, s, w) }",
            reason="a complex signal has no one-sided spectrum",
        ),
    )


def _length(node: Node, window: Value | None) -> int | None:
    if node.input(3) is not None:
        length = _number(node.input(3))
        is_other = window is not None and window.shape != (length,)
        return None if is_other else length
    if window is None or window.shape is None or len(window.shape) != 1:
        return None
    return window.shape[0] if isinstance(window.shape[0], int) else None


def _number(value: Value | None) -> int | None:
    """Return a constant scalar, None where it is not known."""
    if value is None or value.constant is None or value.known is None or value.known.size != 1:
        return None
    return int(value.known.reshape(-1)[0])
