"""Write Attention out, because CANN registers no such operator at any opset.

Why       The standard Attention starts at opset 23; registrations end at 18 (E13010, in 8.1
          E19010).
Rewrites  Softmax(scale * Q K^T) V, heads split off 3-D inputs and put together again; key and value
          heads of a group repeated with Expand; past and present by Concat; softcap with Tanh, in
          front of the mask. A bool mask and is_causal become Where with the lowest number, a float
          mask Add. Rows that may have no key at all are set to zero behind Softmax, as ONNX asks.
          qk_matmul_output is the value at its place.
Leaves    qk_matmul_output behind a mask that is no float tensor; nonpad_kv_seqlen and windows
          (opsets 24 and 25); numbers of heads, or without scale a head size, that are not known;
          integer masks, masks of another type than Q, masks that are shorter than the keys, or may
          be from opset 24 on; a scale or softcap that is negative.
Exact     rounding: float32 within 1e-4: scores of a hundred lose 1e-5 in float32, and the
          exponential turns that into relative error; ONNX Runtime's own operator is as far from
          float64 as the rewrite.
Source    ONNX operator schemas Attention-23, -24 and -25 of onnx 1.23; registrations of the ops-*
          plugins, August 2026.
"""

import math
from dataclasses import dataclass

import numpy as np

from graphfix.graph import Dim, Graph, Node, Value, dtypes
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site
from graphfix.rewrite.builder import MARK

_LOWEST = {"float16": -65504.0, "bfloat16": -3.3895313892515355e38}
_LOWEST |= {"float32": -3.4028234663852886e38, "double": -1.7976931348623157e308}
# a causal mask of more elements is computed in the model, not stored
_STORED = 1 << 20


def _used(value: Value | None) -> bool:
    return value is not None and (value.is_output or bool(value.uses))


@dataclass
class _Sizes:
    """Heads and dims of one Attention; None where a dim is not known."""

    flat: bool
    heads: int
    kv_heads: int
    size: int | None
    value_size: int | None
    queries: Dim
    new_keys: Dim
    past: Dim

    @property
    def keys(self) -> int | None:
        """The number of keys, past ones included."""
        if isinstance(self.new_keys, int) and isinstance(self.past, int):
            return self.new_keys + self.past
        return None


def _sizes(node: Node) -> _Sizes | No:
    q, k, v, past = node.input(0), node.input(1), node.input(2), node.input(4)
    if any(x is None or x.dtype is None or x.shape is None for x in (q, k, v)):
        return No("an element type or a rank is not known")
    assert q is not None and k is not None and v is not None
    assert q.shape is not None and k.shape is not None and v.shape is not None
    rank = len(q.shape)
    if rank not in (3, 4) or len(k.shape) != rank or len(v.shape) != rank:
        return No("Q, K and V are not all 3-D or all 4-D")
    if k.dtype != q.dtype or v.dtype != q.dtype:
        return No("Q, K and V have several element types")
    if past is not None and (past.shape is None or len(past.shape) != 4):
        return No("past_key is not 4-D")
    past_length: Dim = 0 if past is None or past.shape is None else past.shape[2]
    if rank == 4:
        heads, kv_heads, also = q.shape[1], k.shape[1], v.shape[1]
        size, value_size = q.shape[3], v.shape[3]
        queries, keys = q.shape[2], k.shape[2]
    else:
        number = {n: int(a.i) for n, a in node.attributes.items()}
        heads, kv_heads = number.get("q_num_heads", 0), number.get("kv_num_heads", 0)
        also, queries, keys = kv_heads, q.shape[1], k.shape[1]
        if heads <= 0 or kv_heads <= 0:
            return No("3-D inputs need q_num_heads and kv_num_heads")
        widths = ((q.shape[2], heads), (k.shape[2], kv_heads), (v.shape[2], kv_heads))
        if any(isinstance(w, int) and w % h for w, h in widths):
            return No("the heads do not divide the last axis")
        size = q.shape[2] // heads if isinstance(q.shape[2], int) else None
        value_size = v.shape[2] // kv_heads if isinstance(v.shape[2], int) else None
    if not isinstance(heads, int) or not isinstance(kv_heads, int) or also != kv_heads:
        return No("the numbers of heads are not known")
    if kv_heads == 0 or heads % kv_heads:
        return No("the heads of Q are no multiple of those of K and V")
    return _Sizes(
        rank == 3,
        heads,
        kv_heads,
        size if isinstance(size, int) else None,
        value_size if isinstance(value_size, int) else None,
        queries,
        keys,
        past_length,
    )


def _mask_problem(mask: Value, q: Value, sizes: _Sizes, opset: int) -> str | None:
    if mask.dtype != "bool" and mask.dtype != q.dtype:
        return "the mask is neither bool nor of the type of Q"
    if mask.shape is None or len(mask.shape) > 4 or not mask.shape:
        return "the rank of the mask is not known"
    last = mask.shape[-1]
    if opset < 24 and (not isinstance(last, int) or sizes.keys is None):
        # by the schema of 23 the mask broadcasts; readings differ on a single column
        return "the mask may be shorter than the keys" if last == 1 else None
    same = isinstance(last, str) and last == sizes.new_keys and sizes.past == 0
    if not same and (not isinstance(last, int) or last != sizes.keys):
        return "the mask may be shorter than the keys"
    return None


def _repeated(b: Builder, value: str, sizes: _Sizes, size: int | None) -> str | None:
    """Repeat each head of a (batch, kv heads, keys, size) value; None when no dim is known."""
    times = sizes.heads // sizes.kv_heads
    if times == 1:
        return value
    keys = sizes.keys
    if keys is None and size is None:
        return None
    ones = b.ints(1, 1, times, 1, 1)
    value = b.op("Expand", b.unsqueeze(value, [2]), ones)
    # a size of zero would read as "keep", and -1 next to it is ambiguous
    if keys and size:
        return b.reshape(value, [0, sizes.heads, keys, size])
    if size:
        return b.reshape(value, [0, sizes.heads, -1, size])
    return b.reshape(value, [0, sizes.heads, keys, -1]) if keys else None


def _length(b: Builder, name: str, axis: int) -> str:
    """Add the nodes that read one dim of a value as an int32 scalar."""
    dims = b.cast(b.op("Shape", name), "int32")
    return b.op("Gather", dims, b.constant(np.array(axis, np.int64)), axis=0)


def _causal(b: Builder, q: str, keys: str, past: str, sizes: _Sizes) -> str:
    """Return what is allowed, bool (queries, keys): key j for query i if j <= i + past."""
    queries, total, before = sizes.queries, sizes.keys, sizes.past
    known = isinstance(queries, int) and total is not None and isinstance(before, int)
    if known and queries * total <= _STORED:  # type: ignore[operator]
        return b.constant(np.tri(queries, total, before, dtype=bool))  # type: ignore[arg-type]
    zero, one = (b.constant(np.array(n, np.int32)) for n in (0, 1))
    rows = b.op("Range", zero, _length(b, q, 2), one)
    columns = b.op("Range", zero, _length(b, keys, 2), one)
    # j <= i + past as j < i + past + 1: LessOrEqual starts at opset 12
    limit = b.op("Add", rows, one)
    if past:
        limit = b.op("Add", limit, _length(b, past, 2))
    return b.op("Less", b.unsqueeze(columns, [0]), b.unsqueeze(limit, [1]))


class DecomposeAttention(Rule):
    """Attention -> MatMul, Softmax, MatMul."""

    roots = ("Attention",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    tolerance = 1e-4

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire when heads, sizes and the kind of the mask are known."""
        sizes = _sizes(node)
        if isinstance(sizes, No):
            return sizes
        q, k, v, mask, past_k, past_v, valid = (node.input(i) for i in range(7))
        assert q is not None and k is not None and v is not None and q.dtype is not None
        attributes = node.attributes
        wants_scores = _used(node.output(3))
        mode = int(attributes["qk_matmul_output_mode"].i) \
            if "qk_matmul_output_mode" in attributes else 0  # fmt: skip
        if wants_scores and mode == 2 and (mask is None or mask.dtype == "bool"):
            return No("qk_matmul_output is used behind a mask that is no float tensor")
        if valid is not None:
            return No("nonpad_kv_seqlen is not written out")
        if (past_k is None) != (past_v is None):
            return No("past_key and past_value do not come together")
        for past in (past_k, past_v):
            if past is not None and (
                past.dtype != q.dtype
                or past.shape is None
                or len(past.shape) != 4
                or past.shape[1] != sizes.kv_heads
            ):
                return No("a past value has another type or number of heads")
        if any(attributes[n].i >= 0 for n in ("left_window_size", "right_window_size")
               if n in attributes):  # fmt: skip
            return No("a window is not written out")
        if mask is not None:
            problem = _mask_problem(mask, q, sizes, graph.model.opset or 0)
            if problem is not None:
                return No(problem)
        if "scale" in attributes:
            scale = float(attributes["scale"].f)
        elif sizes.size:
            scale = 1 / math.sqrt(sizes.size)
        else:
            return No("the head size is not known, and scale is left out")
        softcap = float(attributes["softcap"].f) if "softcap" in attributes else 0.0
        if not scale > 0 or softcap < 0:
            return No("scale or softcap is negative")
        precision = int(attributes["softmax_precision"].i) if "softmax_precision" in attributes \
            else 0  # fmt: skip
        softmax_type = dtypes.NAMES.get(precision, q.dtype) if precision else q.dtype
        if softmax_type not in dtypes.FLOATS:
            return No("softmax_precision is no float type")

        b = Builder(node, graph)
        names = [q.name, k.name, v.name]
        if sizes.flat:
            heads = (sizes.heads, sizes.kv_heads, sizes.kv_heads)
            widths = (sizes.size, sizes.size, sizes.value_size)
            names = [
                b.op("Transpose", b.reshape(n, [0, 0, h, w or -1]), perm=[0, 2, 1, 3])
                for n, h, w in zip(names, heads, widths, strict=True)
            ]
        query, key, value = names
        if past_k is not None and past_v is not None:
            key = b.op("Concat", past_k.name, key, axis=2)
            value = b.op("Concat", past_v.name, value, axis=2)
        replace = {}
        for index, present in ((1, key), (2, value)):
            if _used(node.output(index)):
                made_here = present.startswith(MARK)
                replace[node.outputs[index]] = present if made_here else b.op("Identity", present)
        allowed = ""
        if attributes["is_causal"].i if "is_causal" in attributes else 0:
            allowed = _causal(b, query, key, past_k.name if past_k is not None else "", sizes)
        all_keys = _repeated(b, key, sizes, sizes.size)
        all_values = _repeated(b, value, sizes, sizes.value_size)
        if all_keys is None or all_values is None:
            return No("neither the head size nor the number of keys is known")

        turned = b.op("Transpose", all_keys, perm=[0, 1, 3, 2])
        scores = b.op("MatMul", b.op("Mul", query, b.scalar(scale, q)), turned)
        stages = [scores]  # what qk_matmul_output may ask for, by its mode
        if softcap > 0:
            cap = b.scalar(softcap, q)
            scores = b.op("Mul", b.op("Tanh", b.op("Div", scores, cap)), cap)
        capped = scores
        scores, empty, keep = self._masked(b, scores, mask, allowed, q.dtype)
        stages += [capped, scores]
        if softmax_type != q.dtype:
            scores = b.cast(scores, softmax_type)
        weights = b.op("Softmax", scores, axis=3)
        if softmax_type != q.dtype:
            weights = b.cast(weights, q.dtype)
        if keep:
            weights = b.op("Where", keep, weights, b.scalar(0.0, q))
        elif empty:
            weights = b.op("Where", empty, b.scalar(0.0, q), weights)
        stages.append(weights)
        if wants_scores:
            replace[node.outputs[3]] = stages[mode if mode in range(4) else 0]
        result = b.op("MatMul", weights, all_values)
        if sizes.flat:
            result = b.op("Transpose", result, perm=[0, 2, 1, 3])
            width = sizes.heads * sizes.value_size if sizes.value_size else -1
            result = b.reshape(result, [0, 0, width])
        if node.outputs[0]:
            replace[node.outputs[0]] = result
        return b.site(replace)

    @staticmethod
    def _masked(
        b: Builder, scores: str, mask: Value | None, allowed: str, dtype: str
    ) -> tuple[str, str, str]:
        """Return the masked scores, the rows without a key, and what to keep behind Softmax."""
        if mask is None:
            if allowed:  # each query has key 0 at least
                scores = b.op("Where", allowed, scores, b.scalar(_LOWEST[dtype], dtype))
            return scores, "", ""
        if mask.dtype == "bool":
            keep = b.op("And", mask.name, allowed) if allowed else mask.name
            scores = b.op("Where", keep, scores, b.scalar(_LOWEST[dtype], dtype))
            known = mask.known
            has_keys = known is not None and not allowed and bool(known.any(axis=-1).all())
            return scores, "", "" if has_keys else keep
        nothing = b.scalar(-math.inf, dtype)
        bias = b.op("Where", allowed, mask.name, nothing) if allowed else mask.name
        scores = b.op("Add", scores, bias)
        known = mask.known
        if known is not None and bool(np.isfinite(known.astype(np.float64)).all()):
            return scores, "", ""
        return scores, b.op("Equal", b.reduce("ReduceMax", bias, [-1]), nothing), ""

    examples = (
        Example(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,6] v) => (float[2,3,4,6] y)"
            " { y = Attention(q, k, v) }",
            after=["Transpose", "Mul", "MatMul", "Softmax", "MatMul"],
            opset=23,
            target=17,
        ),
        Example(
            "g (float[B,S,24] q, float[B,T,12] k, float[B,T,12] v, bool[S,T] m)"
            " => (float[B,S,24] y)"
            " { y = Attention<q_num_heads = 4, kv_num_heads = 2, scale = 0.3>(q, k, v, m) }",
            after=[
                "Reshape", "Transpose", "Reshape", "Transpose", "Reshape", "Transpose",
                "Unsqueeze", "Expand", "Reshape", "Unsqueeze", "Expand", "Reshape", "Transpose",
                "Mul", "MatMul", "Where", "Softmax", "Where", "MatMul", "Transpose", "Reshape",
            ],
            opset=23,
            target=17,
        ),
        Example(
            "g (float[2,3,4,8] q, float[2,3,4,8] k, float[2,3,4,8] v) => (float[2,3,4,8] y)"
            " { y = Attention<is_causal = 1, softcap = 2.0>(q, k, v) }",
            after=[
                "Transpose", "Mul", "MatMul", "Div", "Tanh", "Mul", "Where", "Softmax", "MatMul",
            ],
            opset=24,
            target=16,
        ),
        Example(
            "g (float[B,2,S,4] q, float[B,2,S,4] k, float[B,2,S,4] v) => (float[B,2,S,4] y)"
            " { y = Attention<is_causal = 1>(q, k, v) }",
            after=[
                "Shape", "Cast", "Gather", "Range", "Shape", "Cast", "Gather", "Range", "Add",
                "Unsqueeze", "Unsqueeze", "Less", "Transpose", "Mul", "MatMul", "Where", "Softmax",
                "MatMul",
            ],
            opset=23,
            target=17,
        ),
        Example(
            "g (float[2,2,1,4] q, float[2,2,1,4] k, float[2,2,1,4] v, float[2,1,1,4] m,"
            " float[2,2,3,4] pk, float[2,2,3,4] pv)"
            " => (float[2,2,1,4] y, float[2,2,4,4] nk, float[2,2,4,4] nv)"
            " { y, nk, nv = Attention<is_causal = 1>(q, k, v, m, pk, pv) }",
            after=[
                "Concat", "Concat", "Transpose", "Mul", "MatMul", "Where", "Add", "ReduceMax",
                "Equal", "Softmax", "Where", "MatMul",
            ],
            opset=23,
            target=18,
        ),
        Example(
            "g (float[2,2,3,4] q, float[2,2,3,4] k, float[2,2,3,4] v) => (float[2,2,3,4] y)"
            " <float[1,3] m = {0.0, -1.0, 0.5}> { y = Attention(q, k, v, m) }",
            after=["Transpose", "Mul", "MatMul", "Add", "Softmax", "MatMul"],
            opset=23,
            target=17,
        ),
        Example(
            "g (float[2,2,3,4] q, float[2,1,3,4] k, float[2,1,3,4] v)"
            " => (float[2,2,3,4] y, float[2,1,3,4] nk)"
            " <bool[1,3] m = {1, 0, 1}> { y, nk = Attention(q, k, v, m) }",
            after=[
                "Identity", "Unsqueeze", "Expand", "Reshape", "Unsqueeze", "Expand", "Reshape",
                "Transpose", "Mul", "MatMul", "Where", "Softmax", "MatMul",
            ],
            opset=23,
            target=17,
        ),
        Example(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v)"
            " => (float[2,3,4,8] y, float[2,3,4,5] s) { y, \"\", \"\", s ="
            " Attention<qk_matmul_output_mode = 3>(q, k, v) }",
            after=["Transpose", "Mul", "MatMul", "Softmax", "MatMul"],
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v)"
            " => (float[2,3,4,8] y, float[2,3,4,5] s) { y, \"\", \"\", s ="
            " Attention<qk_matmul_output_mode = 2>(q, k, v) }",
            reason="behind a mask that is no float tensor",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v, float[4,3] m)"
            " => (float[2,3,4,8] y) { y = Attention(q, k, v, m) }",
            reason="the mask may be shorter than the keys",
            opset=24,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v, float[4,1] m)"
            " => (float[2,3,4,8] y) { y = Attention(q, k, v, m) }",
            reason="the mask may be shorter than the keys",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v, int64[2] n)"
            ' => (float[2,3,4,8] y) { y = Attention(q, k, v, "", "", "", n) }',
            reason="nonpad_kv_seqlen is not written out",
            opset=24,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v)"
            " => (float[2,3,4,8] y) { y = Attention<left_window_size = 1>(q, k, v) }",
            reason="a window is not written out",
            opset=25,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v, int32[4,5] m)"
            " => (float[2,3,4,8] y) { y = Attention(q, k, v, m) }",
            reason="the mask is neither bool nor of the type of Q",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,H,4,8] q, float[2,H,5,8] k, float[2,H,5,8] v)"
            " => (float[2,H,4,8] y) { y = Attention(q, k, v) }",
            reason="the numbers of heads are not known",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,D] q, float[2,3,5,D] k, float[2,3,5,D] v)"
            " => (float[2,3,4,D] y) { y = Attention(q, k, v) }",
            reason="the head size is not known",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,2,5,8] k, float[2,2,5,8] v)"
            " => (float[2,3,4,8] y) { y = Attention(q, k, v) }",
            reason="no multiple",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[] q, float[] k, float[] v) => (float[] y) { y = Attention(q, k, v) }",
            reason="an element type or a rank is not known",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,4,6] q, float[2,4,6] k, float[2,4,6] v) => (float[2,4,6] y)"
            " { y = Attention(q, k, v) }",
            reason="3-D inputs need",
            opset=23,
            target=17,
        ),
        NearMiss(
            "g (float[2,3,4,8] q, float[2,3,5,8] k, float[2,3,5,8] v)"
            " => (float[2,3,4,8] y) { y = Attention<scale = -1.0>(q, k, v) }",
            reason="scale or softcap is negative",
            opset=23,
            target=17,
        ),
    )  # fmt: skip
