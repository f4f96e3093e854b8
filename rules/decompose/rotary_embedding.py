"""Write RotaryEmbedding out, because CANN registers no such operator at any opset.

Why       RotaryEmbedding starts at opset 23; registrations end at 18 (E13010, in 8.1 E19010).
Rewrites  With x1, x2 the two halves of the rotated part (or its even and odd entries when
          interleaved): Concat(x1 * cos - x2 * sin, x1 * sin + x2 * cos), and what is not rotated
          behind it. position_ids become a Gather of the rows of cos_cache and sin_cache.
Leaves    X whose element type, rank or head size is not known; caches of another type or rank than
          the operator asks for; a rotary_embedding_dim that is odd or beyond the head size; a 3-D X
          without num_heads.
Exact     rounding: float32 within 2e-6.
Source    ONNX operator schema RotaryEmbedding-23; registrations of the ops-* plugins, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeRotaryEmbedding(Rule):
    """RotaryEmbedding -> Mul, Sub, Add and Concat."""

    roots = ("RotaryEmbedding",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when type, rank and head size are known."""
        x, cos, sin, positions = (node.input(i) for i in range(4))
        if x is None or cos is None or sin is None or x.dtype is None or x.shape is None:
            return No("the element type or the rank is not known")
        if len(x.shape) not in (3, 4):
            return No("X has neither three nor four axes")
        if cos.dtype != x.dtype or sin.dtype != x.dtype:
            return No("a cache has another element type")
        rank = 2 if positions is not None else 3
        if any(v.shape is None or len(v.shape) != rank for v in (cos, sin)):
            return No(f"a cache has not {rank} axes")
        if positions is not None and (positions.shape is None or len(positions.shape) != 2):
            return No("position_ids has not 2 axes")
        number = {k: int(a.i) for k, a in node.attributes.items()}
        heads, last = number.get("num_heads", 0), x.shape[-1]
        is_flat = len(x.shape) == 3
        if not isinstance(last, int) or last == 0:
            return No("the head size is not known")
        if is_flat and (heads <= 0 or last % heads):
            return No("a 3-D X needs num_heads that divide its last axis")
        size = last // heads if is_flat else last
        turned = number.get("rotary_embedding_dim", 0) or size
        if turned % 2 or not 0 < turned <= size:
            return No("rotary_embedding_dim is odd or beyond the head size")
        if any(isinstance(v.shape[-1], int) and v.shape[-1] != turned // 2
               for v in (cos, sin) if v.shape is not None):  # fmt: skip
            return No("a cache does not fit the rotated part")
        interleaved = bool(number.get("interleaved", 0))

        b = Builder(node, graph)
        # heads are axis 2 of the split 3-D form and axis 1 of the 4-D form
        value = b.reshape(x.name, [0, 0, heads, size]) if is_flat else x.name
        axes = [2 if is_flat else 1] + ([4] if interleaved else [])

        def table(name: str) -> str:
            if positions is not None:
                name = b.op("Gather", name, positions.name, axis=0)
            return b.unsqueeze(name, axes)

        c, s = table(cos.name), table(sin.name)
        rest = ""
        if turned < size:
            value, rest = b.split(value, [turned, size - turned], 3)
        half = turned // 2
        if interleaved:
            value = b.reshape(value, [0, 0, 0, half, 2])
            first, second = b.split(value, [1, 1], 4)
        else:
            first, second = b.split(value, [half, half], 3)
        real = b.op("Sub", b.op("Mul", first, c), b.op("Mul", second, s))
        imaginary = b.op("Add", b.op("Mul", first, s), b.op("Mul", second, c))
        if interleaved:
            value = b.reshape(b.op("Concat", real, imaginary, axis=4), [0, 0, 0, turned])
            parts = [value]
        else:
            parts = [real, imaginary]
        if rest:
            parts.append(rest)
        if len(parts) > 1:
            value = b.op("Concat", *parts, axis=3)
        if is_flat:
            value = b.reshape(value, [0, 0, last])
        return b.site(value)

    examples = (
        Example(
            "g (float[2,3,4,8] x, float[2,4,4] c, float[2,4,4] s) => (float[2,3,4,8] y)"
            " { y = RotaryEmbedding(x, c, s) }",
            after=[
                "Unsqueeze", "Unsqueeze", "Split", "Mul", "Mul", "Sub", "Mul", "Mul", "Add",
                "Concat",
            ],
            opset=23,
            target=17,
        ),
        Example(
            "g (float[N,S,24] x, int64[N,S] p) => (float[N,S,24] y)"
            " <float[2,2] c = {1.0, 1.0, 0.54, 0.99}, float[2,2] s = {0.0, 0.0, 0.84, 0.01}>"
            " { y = RotaryEmbedding<num_heads = 3, rotary_embedding_dim = 4>(x, c, s, p) }",
            after=[
                "Reshape", "Gather", "Unsqueeze", "Gather", "Unsqueeze", "Split", "Split", "Mul",
                "Mul", "Sub", "Mul", "Mul", "Add", "Concat", "Reshape",
            ],
            opset=23,
            target=18,
        ),
        Example(
            "g (float[N,3,S,4] x, int64[N,S] p) => (float[N,3,S,4] y)"
            " <float[2,2] c = {1.0, 1.0, 0.54, 0.99}, float[2,2] s = {0.0, 0.0, 0.84, 0.01}>"
            " { y = RotaryEmbedding<interleaved = 1>(x, c, s, p) }",
            after=[
                "Gather", "Unsqueeze", "Gather", "Unsqueeze", "Reshape", "Split", "Mul", "Mul",
                "Sub", "Mul", "Mul", "Add", "Concat", "Reshape",
            ],
            opset=24,
            target=16,
        ),
        Example(
            "g (float[2,4,12] x, float[2,4,2] c, float[2,4,2] s) => (float[2,4,12] y)"
            " { y = RotaryEmbedding<interleaved = 1, num_heads = 2, rotary_embedding_dim = 4>"
            "(x, c, s) }",
            after=[
                "Reshape", "Unsqueeze", "Unsqueeze", "Split", "Reshape", "Split", "Mul", "Mul",
                "Sub", "Mul", "Mul", "Add", "Concat", "Reshape", "Concat", "Reshape",
            ],
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,D] x, float[2,4,4] c, float[2,4,4] s) => (float[2,3,4,D] y)"
            " { y = RotaryEmbedding(x, c, s) }",
            reason="the head size is not known",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[] x, float[2,4,4] c, float[2,4,4] s) => (float[] y)"
            " { y = RotaryEmbedding(x, c, s) }",
            reason="the element type or the rank is not known",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,4,12] x, float[2,4,2] c, float[2,4,2] s) => (float[2,4,12] y)"
            " { y = RotaryEmbedding<rotary_embedding_dim = 4>(x, c, s) }",
            reason="a 3-D X needs num_heads",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] x, float[2,4,3] c, float[2,4,3] s) => (float[2,3,4,8] y)"
            " { y = RotaryEmbedding<rotary_embedding_dim = 7>(x, c, s) }",
            reason="rotary_embedding_dim is odd",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] x, float[2,4,3] c, float[2,4,3] s) => (float[2,3,4,8] y)"
            " { y = RotaryEmbedding(x, c, s) }",
            reason="a cache does not fit",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] x, float[] c, float[] s) => (float[2,3,4,8] y)"
            " { y = RotaryEmbedding(x, c, s) }",
            reason="a cache has not 3 axes",
            opset=23,
            target=17,
        ),
    )  # fmt: skip
