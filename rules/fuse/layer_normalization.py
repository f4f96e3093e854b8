"""Join a LayerNormalization that is spelled out, because CANN has one operator for it.

Why       Exporters below opset 17 write nine nodes, most of which read and write the whole tensor;
          LayerNormalization of opset 17 and 18 becomes one LayerNorm.
Rewrites  D = X - ReduceMean(X); D / Sqrt(ReduceMean(D * D) + epsilon) * Scale + B, over the last
          axes -> LayerNormalization(X, Scale, B). D ^ 2 may stand for D * D; the D that is squared
          and the D that is divided may come from two equal nodes.
Leaves    Other element types than float32, whose rounding differs; axes that are not the last ones,
          unknown or computed; Scale or B that is no constant of exactly the dims of those axes;
          an epsilon that is not one positive constant; values in between that are used elsewhere;
          other opsets to write for than 17 and 18 (--opset 17 takes an older model there).
          Optional: select it where speed counts.
Exact     rounding: float32 within 1e-5, as variances of large numbers cancel.
Source    ONNX operator schema LayerNormalization-17; ops-nn common/src/framework/
          layer_normalization_onnx_plugin.cpp, August 2026.
"""

import math

import numpy as np

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_NO_PATTERN = No("no spelled-out normalization ends here")


class FuseLayerNormalization(Rule):
    """ReduceMean form -> LayerNormalization."""

    roots = ("Add",)
    exactness = Exactness.ROUNDING
    tolerance = 1e-5
    optional = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire at the last Add of the nine (or ten) nodes."""
        chain = _Chain(graph)
        found = chain.read(node)
        if found is None:
            return _NO_PATTERN
        x, epsilon, scale, bias = found
        if x.dtype != "float32" or x.shape is None:
            return No("the input is not known to be float32, or its rank is not known")
        rank = len(x.shape)
        axes = _axes(chain.mean, rank, graph)
        if axes is None or axes != _axes(chain.variance, rank, graph):
            return No("the axes of the two means differ or are not known")
        first = min(axes)
        dims = x.shape[first:]
        if sorted(axes) != [*range(first, rank)]:
            return No("the axes are not the last ones")
        if any(not isinstance(dim, int) or dim < 1 for dim in dims):
            return No("the dims that it works along are not known")
        if not all(v.is_constant and v.shape == dims for v in (scale, bias)):
            return No("scale or bias is no constant of the dims that it works along")
        number = _scalar(epsilon, rank)
        if number is None or not (math.isfinite(number) and number > 0):
            return No("epsilon is not one positive constant")
        if chain.leaks(node):
            return No("a value in between is used elsewhere")
        b = Builder(node, graph)
        if b.opset not in (17, 18):
            return No("LayerNormalization is registered at opset 17 and 18 only")
        fused = b.op(
            "LayerNormalization", x.name, scale.name, bias.name, axis=first - rank, epsilon=number
        )
        return b.site(fused, drop=(node, *(n for n in chain.nodes if n is not node)))

    examples = (
        Example(
            """
            g (float[2,N,4] x) => (float[2,N,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             float two = {2.0}, float e = {1e-5}> {
                m = ReduceMean<axes = [-1]>(x)  d = Sub(x, m)  q = Pow(d, two)
                v = ReduceMean<axes = [-1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            after="""
            g (float[2,N,4] x) => (float[2,N,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5}> {
                y = LayerNormalization<axis = -1, epsilon = 1e-5>(x, s, b)
            }
            """,
        ),
        Example(
            """
            g (float[2,2,3] x) => (float[2,2,3] y)
            <float[2,3] s = {1.0, -0.5, 2.0, 0.1, 1.0, 3.0}, int64[2] a = {2, -2},
             float[2,3] b = {0.0, 1.0, -2.0, 0.5, 1.0, 0.0}, float[1] e = {1e-3}> {
                m = ReduceMean<keepdims = 1>(x, a)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean(q, a)  w = Add(e, v)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(s, n)  y = Add(b, t)
            }
            """,
            after="""
            g (float[2,2,3] x) => (float[2,2,3] y)
            <float[2,3] s = {1.0, -0.5, 2.0, 0.1, 1.0, 3.0},
             float[2,3] b = {0.0, 1.0, -2.0, 0.5, 1.0, 0.0}> {
                y = LayerNormalization<axis = -2, epsilon = 1e-3>(x, s, b)
            }
            """,
            opset=18,
        ),
        Example(
            """
            g (float[5,4] x) => (float[5,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             int64 two = {2}, float e = {1e-5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  c = Sub(x, m)  q = Pow(c, two)
                v = ReduceMean<axes = [-1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  z = Add(t, b)  y = Relu(z)
            }
            """,
            after=["LayerNormalization", "Relu"],
        ),
        NearMiss(
            """
            g (float[2,4] x) => (float[2,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             float two = {3.0}, float e = {1e-5}> {
                m = ReduceMean<axes = [-1]>(x)  d = Sub(x, m)  q = Pow(d, two)
                v = ReduceMean<axes = [-1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="no spelled-out normalization ends here",
        ),
        NearMiss(
            """
            g (double[2,4] x) => (double[2,4] y)
            <double[4] s = {1.0, -0.5, 2.0, 0.1}, double[4] b = {0.0, 1.0, -2.0, 0.5},
             double e = {1e-3}> {
                m = ReduceMean<axes = [-1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [-1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="the input is not known to be float32",
        ),
        NearMiss(
            """
            g (float[4,4] x) => (float[4,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             float e = {1e-5}> {
                m = ReduceMean<axes = [-1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [0]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="the axes of the two means differ",
        ),
        NearMiss(
            """
            g (float[2,4,4] x) => (float[2,4,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             float e = {1e-5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="the axes are not the last ones",
        ),
        NearMiss(
            """
            g (float[2,N] x) => (float[2,N] y)
            <float[1] s = {2.0}, float[1] b = {0.5}, float e = {1e-5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="the dims that it works along are not known",
        ),
        NearMiss(
            """
            g (float[2,4] x, float[4] s) => (float[2,4] y)
            <float[4] b = {0.0, 1.0, -2.0, 0.5}, float e = {1e-5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="scale or bias is no constant of the dims that it works along",
        ),
        NearMiss(
            """
            g (float[2,4] x, float e) => (float[2,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="epsilon is not one positive constant",
        ),
        NearMiss(
            """
            g (float[2,4] x) => (float[2,4] y, float[2,1] r)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             float e = {1e-5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="a value in between is used elsewhere",
        ),
        NearMiss(
            """
            g (float[2,4] x) => (float[2,4] y)
            <float[4] s = {1.0, -0.5, 2.0, 0.1}, float[4] b = {0.0, 1.0, -2.0, 0.5},
             float e = {1e-5}> {
                m = ReduceMean<axes = [1]>(x)  d = Sub(x, m)  q = Mul(d, d)
                v = ReduceMean<axes = [1]>(q)  w = Add(v, e)  r = Sqrt(w)  n = Div(d, r)
                t = Mul(n, s)  y = Add(t, b)
            }
            """,
            reason="LayerNormalization is registered at opset 17 and 18 only",
            opset=16,
        ),
    )


class _Chain:
    """The nodes of one spelled-out normalization, read from its last Add upwards."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.mean: Node
        self.variance: Node

    def read(self, root: Node) -> tuple[Value, Value, Value, Value] | None:
        """Return (X, epsilon, Scale, B); None where the nodes are others."""
        for scaled, bias in self._both_ways(root, "Mul"):
            for normal, scale in self._both_ways(scaled, "Div"):
                centred, deviation = self._from(normal, 0, "Sub"), self._from(normal, 1, "Sqrt")
                shifted = self._from(deviation, 0, "Add")
                if centred is None or deviation is None or shifted is None:
                    continue
                for variance, epsilon in self._both_ways(shifted, "ReduceMean"):
                    x = self._spread(centred, variance)
                    if x is not None:
                        self.nodes += [root, scaled, normal, deviation, shifted]
                        self.nodes = list(dict.fromkeys(self.nodes))
                        return x, epsilon, scale, bias
        return None

    def _spread(self, centred: Node, variance: Node) -> Value | None:
        """Return X if `variance` is the mean of the squares of X less its mean."""
        x, mean = centred.input(0), self._from(centred, 1, "ReduceMean")
        square = self._from(variance, 0, "Mul") or self._from(variance, 0, "Pow")
        twin = self._from(square, 0, "Sub")
        if x is None or mean is None or square is None or twin is None:
            return None
        if mean.input(0) is not x or twin.inputs != centred.inputs:
            return None
        if square.op_type == "Mul":
            is_square = square.inputs[0] == square.inputs[1]
        else:
            is_square = _scalar(square.input(1), 0 if x.shape is None else len(x.shape)) == 2
        if not is_square:
            return None
        self.mean, self.variance = mean, variance
        self.nodes = [centred, twin, mean, square, variance]
        return x

    def _from(self, node: Node | None, index: int, op_type: str) -> Node | None:
        """Return the node that gives an input, if it is of this operator and of this graph."""
        value = node.input(index) if node is not None else None
        giver = value.producer if value is not None else None
        if giver is None or giver.graph is not self.graph:
            return None
        return giver if giver.op_type == op_type and giver.is_standard else None

    def _both_ways(self, node: Node, op_type: str) -> list[tuple[Node, Value]]:
        """Return (the node that gives one operand, the other operand), for either order."""
        found = []
        for index in (0, 1):
            giver, other = self._from(node, index, op_type), node.input(1 - index)
            if giver is not None and other is not None:
                found.append((giver, other))
        return found

    def leaks(self, root: Node) -> bool:
        """Whether anything else uses what a node above the root gives."""
        for node in self.nodes:
            value = node.output(0)
            if node is root or value is None:
                continue
            if value.is_output or any(n not in self.nodes or i < 0 for n, i in value.uses):
                return True
        return False


def _axes(node: Node, rank: int, graph: Graph) -> set[int] | None:
    """Return the axes of a ReduceMean that keeps them, None where they are not known."""
    keepdims = node.attributes.get("keepdims")
    if keepdims is not None and keepdims.i != 1:
        return None
    written = node.attributes.get("axes")
    if (graph.model.opset or 0) < 18:
        axes = list(written.ints) if written is not None else []
    else:
        value = node.input(1)
        if value is None or value.constant is None or value.known is None:
            return None
        axes = [int(axis) for axis in value.known.reshape(-1)]
    if not axes or any(not -rank <= axis < rank for axis in axes):
        return None
    return {axis % rank for axis in axes}


def _scalar(value: Value | None, rank: int) -> float | None:
    """Return the number of a constant of one element that adds no axes to a tensor of a rank."""
    if value is None or value.constant is None or value.known is None:
        return None
    array = value.known
    if array.size != 1 or array.ndim > rank or not np.isrealobj(array):
        return None
    return float(array.reshape(-1)[0])
