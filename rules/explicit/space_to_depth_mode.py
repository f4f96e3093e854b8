"""Write SpaceToDepth of mode CRD as Reshape and Transpose, because CANN does not know the mode.

Why       The mode came with opset 28; the plugin computes DCR whatever is asked.
Rewrites  SpaceToDepth<mode = CRD> -> Reshape, Transpose, Reshape.
Leaves    DCR; channels, height or width that are not known.
Exact     exact.
Source    ops-math conversion/space_to_depth onnx plugin, August 2026; ONNX operator schema
          SpaceToDepth-28.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class SpaceToDepthMode(Rule):
    """SpaceToDepth<mode = CRD> -> Reshape, Transpose, Reshape."""

    roots = ("SpaceToDepth",)
    fixes = ("SpaceToDepth/mode",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on CRD where the dims are known."""
        if "mode" not in node.attributes or node.attributes["mode"].s != b"CRD":
            return No("the mode is DCR")
        x, block = node.input(0), int(node.attributes["blocksize"].i)
        if x is None or x.shape is None or len(x.shape) != 4:
            return No("the input is not known to be 4-D")
        dims = [d for d in x.shape[1:] if isinstance(d, int)]
        if len(dims) != 3:
            return No("channels, height or width are not known")
        channels, height, width = dims
        if block < 1 or height % block or width % block:
            return No("the block does not divide height and width")
        rows, columns = height // block, width // block
        b = Builder(node, graph)
        y = b.reshape(x.name, [0, channels, rows, block, columns, block])
        y = b.op("Transpose", y, perm=[0, 1, 3, 5, 2, 4])
        return b.site(b.reshape(y, [0, channels * block * block, rows, columns]))

    examples = (
        Example(
            "g (float[1,2,4,6] x) => (float[1,8,2,3] y)"
            ' { y = SpaceToDepth<blocksize = 2, mode = "CRD">(x) }',
            after=["Reshape", "Transpose", "Reshape"],
            opset=28,
            target=18,
        ),
        NearMiss(
            "g (float[1,2,4,6] x) => (float[1,8,2,3] y) { y = SpaceToDepth<blocksize = 2>(x) }",
            reason="the mode is DCR",
        ),
        NearMiss(
            "g (float[1,2,H,6] x) => (float[1,8,K,3] y)"
            ' { y = SpaceToDepth<blocksize = 2, mode = "CRD">(x) }',
            reason="channels, height or width are not known",
            opset=28,
            target=18,
        ),
    )
