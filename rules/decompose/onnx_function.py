"""Write an operator as the function that ONNX defines it by.

Why       CANN does not register these operators, or not at this opset (GF101, GF102), but ONNX
          gives each of them a body of simpler operators that CANN has.
Rewrites  the node -> the nodes of its function body, in the form of the target opset.
Leaves    A body with subgraphs; one whose operators have another form, or are missing, at the
          target opset; a body whose choice depends on an element type that is not known.
Exact     rounding: float32 within 5e-6.
Source    ONNX operator schemas, function bodies (onnx.defs); registrations of CANN 8.1.RC1.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper

from graphfix.graph import Graph, Node, dtypes
from graphfix.graph.writing import node_proto
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class OnnxFunction(Rule):
    """An operator that ONNX defines by others -> its function body."""

    roots = (
        "BlackmanWindow", "HammingWindow", "HannWindow", "NegativeLogLikelihoodLoss",
    )  # fmt: skip
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    tolerance = 5e-6

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where ONNX has a body that means the same at the target opset."""
        b = Builder(node, graph)
        found = _body(node, graph.model.opset or b.opset, b.opset)
        if isinstance(found, No):
            return found
        function, defaults = found
        given = {a.name: a for a in defaults} | node.attributes
        names = {"": ""} | {
            name: node.inputs[i] if i < len(node.inputs) else ""
            for i, name in enumerate(function.input)
        }
        for step in function.node:
            _write(step, names, given, b)
        # results that the node leaves out have no value to replace
        pairs = zip(node.outputs, function.output, strict=False)
        return b.site({old: names[new] for old, new in pairs if old})

    examples = (
        Example(
            "g (float[3,5] x, int64[3] t) => (float y) {"
            ' y = NegativeLogLikelihoodLoss <reduction: string = "mean"> (x, t) }',
            after=["Unsqueeze", "GatherElements", "Neg", "Slice", "Squeeze", "ReduceMean"],
            opset=13,
        ),
        Example(
            "g (float[3,5] x, int64[3] t, float[5] w) => (float[3] y) {"
            ' y = NegativeLogLikelihoodLoss <reduction: string = "none"> (x, t, w) }',
            after=["Unsqueeze", "GatherElements", "Neg", "Slice", "Gather", "Squeeze", "Mul"],
            opset=13,
        ),
        NearMiss(
            "g (float[3,5] x, int64[3] s) => (float y) {"
            " t = UnknownOp(s)  y = NegativeLogLikelihoodLoss(x, t) }",
            reason="the element type of an input is not known",
            opset=13,
        ),
        NearMiss(
            "g (int64 n) => (float[m] y) { y = HannWindow(n) }",
            reason="its body needs Range, which opset 8 does not have",
            target=8,
        ),
    )


def _body(
    node: Node, opset: int, target: int
) -> tuple[onnx.FunctionProto, list[onnx.AttributeProto]] | No:
    """Return the function body of a node and the defaults of its attributes, or why not."""
    types: list[bytes] = []
    for i in range(len(node.inputs)):
        value = node.input(i)
        if value is None:
            types.append(b"")
        elif value.dtype is None:
            return No("the element type of an input is not known")
        else:
            number = dtypes.NUMBERS[value.dtype]
            kind = onnx.helper.make_tensor_type_proto(number, value.shape)
            types.append(kind.SerializeToString())
    reason = "ONNX gives no body"
    # where the target's opset has the operator too, its body speaks of the target's operators
    for version in sorted({min(opset, target), opset}):
        if not onnx.defs.has(node.op_type, version):
            continue
        schema = onnx.defs.get_schema(node.op_type, version)
        for made in _bodies(schema, node_proto(node).SerializeToString(), types):
            function = onnx.FunctionProto.FromString(made)
            reason = _difference(function, target)
            if not reason:
                known = [a.default_value for a in schema.attributes.values()]
                return function, [default for default in known if default.name]
    return No(reason)


def _bodies(schema: onnx.defs.OpSchema, node: bytes, types: list[bytes]) -> Iterator[bytes]:
    for at in schema.function_opset_versions:
        yield schema.get_function_with_opset_version(at)
    for at in schema.context_dependent_function_opset_versions:
        yield schema.get_context_dependent_function_with_opset_version(at, node, types)


def _difference(function: onnx.FunctionProto, target: int) -> str:
    """Return why a body cannot be written at the target opset, or nothing."""
    at = next((i.version for i in function.opset_import if i.domain == ""), 0)
    for step in function.node:
        if any(a.HasField("g") or a.graphs for a in step.attribute):
            return f"the body holds subgraphs ({step.op_type})"
        if step.domain or not onnx.defs.has(step.op_type, target):
            return f"its body needs {step.op_type}, which opset {target} does not have"
        here, there = (onnx.defs.get_schema(step.op_type, v) for v in (target, at))
        if step.op_type != "Constant" and not _is_reduction(step) and _form(here) != _form(there):
            return f"{step.op_type} of its body has another form at opset {target}"
    return ""


def _is_reduction(step: onnx.NodeProto) -> bool:
    """Whether a node reduces over axes that are an attribute, which Builder writes in any form."""
    return step.op_type.startswith("Reduce") and len(step.input) == 1


def _form(schema: onnx.defs.OpSchema) -> object:
    """Return what two versions must share; that they mean the same is for the proof to show."""
    attributes = {
        name: (int(a.type.value), a.default_value.SerializeToString(), a.required)
        for name, a in schema.attributes.items()
    }
    return attributes, [i.name for i in schema.inputs], [o.name for o in schema.outputs]


def _write(
    step: onnx.NodeProto,
    names: dict[str, str],
    given: Mapping[str, onnx.AttributeProto],
    b: Builder,
) -> None:
    """Add one node of the body, with the node's attributes where the body refers to them."""
    attributes = {}
    for attribute in step.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is not None:
            attributes[attribute.name] = onnx.helper.get_attribute_value(source)
    if step.op_type == "Constant":
        ((kind, content),) = attributes.items()
        if isinstance(content, onnx.TensorProto):
            names[step.output[0]] = b.constant(onnx.numpy_helper.to_array(content))
        else:
            number = np.int64 if kind.startswith("value_int") else np.float32
            names[step.output[0]] = b.constant(np.array(content, number))
        return
    inputs = [names[name] for name in step.input]
    if _is_reduction(step):
        axes, keepdims = attributes.get("axes"), attributes.get("keepdims", 1)
        names[step.output[0]] = b.reduce(step.op_type, inputs[0], axes, bool(keepdims))
        return
    made = b.multi(step.op_type, len(step.output), *inputs, domain=step.domain, **attributes)
    names.update(zip(step.output, made, strict=True))
