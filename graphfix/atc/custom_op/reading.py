"""What the nodes of a model tell about a custom operator."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.defs

from graphfix.atc.custom_op.prototype import GE_TYPES, Attribute, Param, Prototype
from graphfix.errors import UsageError, nearest
from graphfix.graph import Model, Node, Value
from graphfix.graph.dtypes import FLOATS
from graphfix.support import Tables, Target

# ONNX type of an attribute -> msopgen's, and the value of one that a node leaves out
_ATTRIBUTES: dict[int, tuple[str, Any]] = {
    onnx.AttributeProto.INT: ("int", 0),
    onnx.AttributeProto.FLOAT: ("float", 0.0),
    onnx.AttributeProto.STRING: ("string", ""),
    onnx.AttributeProto.INTS: ("list_int", []),
    onnx.AttributeProto.FLOATS: ("list_float", []),
}
_FALLBACK = "float32"
_KEYWORDS = """
auto bool break case catch char class const continue default delete do double else enum
explicit extern false float for friend goto half if inline int long mutable namespace new
operator private protected public return short signed sizeof static struct switch template
this throw tiling true try typedef typename union unsigned using virtual void volatile while
workspace
"""
_CPP = frozenset(_KEYWORDS.split())


def prototype_of(
    model: Model,
    op: str,
    target: Target,
    tables: Tables,
    *,
    name: str | None = None,
    variadic: bool = False,
) -> Prototype:
    """Return the prototype of an operator from all its nodes, those in branches included.

    Args:
        model: a model whose types have been inferred as far as they can be.
        op: `Domain::Type`; ONNX's own domain is `ai.onnx`.
        target: the release, whose registrations are not registered a second time.
        tables: the operator tables.
        name: the type in GE; by default the type with `Custom` behind it.
        variadic: the inputs of all nodes are one list of tensors.

    Raises:
        UsageError: no such node, no opset for the domain, or types that no kernel can take.
    """
    domain, op_type = _split(op)
    nodes = [
        node
        for node in model.graph.walk()
        if node.op_type == op_type and (node.domain or "ai.onnx") == domain
    ]
    if not nodes:
        known = sorted({f"{n.domain or 'ai.onnx'}::{n.op_type}" for n in model.graph.walk()})
        raise UsageError(f"--op {op}: the model has no such node. {nearest(op, known)}".rstrip())
    if (domain, op_type) in model.functions:
        raise UsageError(
            f"--op {op}: is a function of the model, made of nodes that ATC may know: "
            "`graphfix fix` inlines it."
        )
    opset = model.opsets.get(domain)
    if opset is None:
        raise UsageError(
            f"--op {op}: the model imports no opset of the domain {domain}, so ATC cannot look it "
            "up (GF103). Add it to opset_import, for instance by exporting again."
        )
    schema = _schema(domain, op_type, opset)
    ge_name = _ge_name(name, op_type)
    inputs, outputs = _params(nodes, schema, variadic)
    return Prototype(
        domain,
        op_type,
        opset,
        ge_name,
        inputs,
        outputs,
        _attributes(nodes, schema, op, {p.name for p in (*inputs, *outputs)}),
        tuple(_seen(node) for node in nodes),
        _origins(domain, op_type, opset, tables, target.release.name),
        _registered(domain, op_type, opset, tables, target.release.name),
    )


def _split(op: str) -> tuple[str, str]:
    domain, colons, op_type = op.rpartition("::")
    if not colons or not domain or not op_type or "@" in op:
        raise UsageError(
            f"--op {op}: expected Domain::Type, for instance my.domain::MyOp; ONNX's own domain is "
            "ai.onnx."
        )
    return domain, op_type


def _schema(domain: str, op_type: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(
            op_type, max_inclusive_version=opset, domain="" if domain == "ai.onnx" else domain
        )
    except onnx.defs.SchemaError:
        return None


def _ge_name(given: str | None, op_type: str) -> str:
    if given is not None:
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", given):
            raise UsageError(
                f"--name {given}: a type of GE is letters and digits and starts with a capital, "
                "as in MyOpCustom."
            )
        return given
    words = [w for w in re.split(r"[^A-Za-z0-9]+", op_type) if w]
    name = "".join(w[0].upper() + w[1:] for w in words)
    if not name or not name[0].isalpha():
        name = f"Op{name}"
    return name if name.endswith("Custom") else f"{name}Custom"


def _origins(
    domain: str, op_type: str, opset: int, tables: Tables, release: str
) -> tuple[str, ...]:
    """Return the types that the plugin registers: the model's, and the ones it may be renamed to.

    Up to 9.2.0-beta.1 a model with a second opset_import is refused (E16005), so the operator is
    registered under ONNX's own domain as well, at the opsets that ATC takes and where CANN has no
    plugin of its own.
    """
    operator = tables.operator(op_type)
    own = [f"{domain}::{opset}::{op_type}"]
    for version in range(11, 19):
        origin = f"ai.onnx::{version}::{op_type}"
        taken = operator is not None and operator.registration("ai.onnx", version, release)
        if not taken and origin not in own:
            own.append(origin)
    return tuple(own)


def _registered(domain: str, op_type: str, opset: int, tables: Tables, release: str) -> str:
    operator = tables.operator(op_type)
    found = operator.registration(domain, opset, release) if operator is not None else None
    return found.ge_op if found is not None else ""


# ---------------------------------------------------------------------- inputs and outputs


def _params(
    nodes: Sequence[Node], schema: onnx.defs.OpSchema | None, variadic: bool
) -> tuple[tuple[Param, ...], tuple[Param, ...]]:
    count = max(len(node.inputs) for node in nodes)
    if not any(node.outputs for node in nodes):
        raise UsageError("--op: the operator gives no output, so ATC would drop it.")
    # from this input on all are one list
    first_dynamic = 0 if variadic else count
    if schema is not None and not variadic:
        kinds = [i.option for i in schema.inputs]
        if kinds and kinds[-1] == onnx.defs.OpSchema.FormalParameterOption.Variadic:
            first_dynamic = len(kinds) - 1
    ins = [[node.input(i) for node in nodes] for i in range(min(count, first_dynamic))]
    if first_dynamic < count:
        ins.append([v for node in nodes for v in node.values[first_dynamic:]])
    results = max(len(node.outputs) for node in nodes)
    outs = [[node.output(i) for node in nodes] for i in range(results)]
    taken: set[str] = set()
    names_in = _names("x", [i.name for i in schema.inputs] if schema else [], len(ins), taken)
    names_out = _names("y", [o.name for o in schema.outputs] if schema else [], len(outs), taken)
    combinations = _combinations(nodes, min(count, first_dynamic), first_dynamic < count, results)
    inputs = []
    for index, (name, values) in enumerate(zip(names_in, ins, strict=True)):
        kind = "required" if all(v is not None for v in values) else "optional"
        if index == first_dynamic:
            kind = "dynamic"
        inputs.append(_param(name, kind, values, [c[index] for c in combinations]))
    outputs = [
        _param(name, "required", values, [c[len(ins) + index] for c in combinations])
        for index, (name, values) in enumerate(zip(names_out, outs, strict=True))
    ]
    return tuple(inputs), tuple(outputs)


def _param(name: str, kind: str, values: Sequence[Value | None], dtypes: list[str]) -> Param:
    here = [v for v in values if v is not None]
    assumed = not any(v.dtype for v in here)
    shapes = {v.shape: None for v in here}
    return Param(name, kind, tuple(dtypes), tuple(shapes), assumed)


def _names(letter: str, declared: Sequence[str], count: int, taken: set[str]) -> list[str]:
    """Return distinct names: the schema's where there is one, else x1, x2 ... and y."""
    plain = [letter] if count == 1 else [f"{letter}{i + 1}" for i in range(count)]
    names = []
    for index in range(count):
        name = identifier(declared[index]) if index < len(declared) else plain[index]
        while name in taken:
            name += "_out" if letter == "y" else "_"
        taken.add(name)
        names.append(name)
    return names


def identifier(name: str) -> str:
    """Return a name that C++ takes: lower case, no keyword."""
    name = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "arg"
    if name[0].isdigit() or name in _CPP or keyword.iskeyword(name):
        name = f"{name}_" if not name[0].isdigit() else f"arg_{name}"
    return name


def _combinations(
    nodes: Sequence[Node], inputs: int, dynamic: bool, outputs: int
) -> list[tuple[str, ...]]:
    """Return the dtypes of all parameters, one tuple for each combination of the model.

    A combination with float32 gets a twin with float16, which force_fp16, ATC's default, gives the
    kernel. What a node leaves out or does not tell is taken from other nodes, or to be the first
    input's type.
    """
    rows: list[list[str | None]] = []
    for node in nodes:
        _check_types(node)
        values = [node.input(i) for i in range(inputs + dynamic)]
        values += [node.output(i) for i in range(outputs)]
        rows.append([v.dtype if v is not None else None for v in values])
    known = [list(dict.fromkeys(d for d in column if d)) for column in zip(*rows, strict=True)]
    seen: dict[tuple[str, ...], None] = {}
    for row in rows:
        first = next((d for d in row if d is not None), _FALLBACK)
        seen[tuple(d or _guess(known[i], first) for i, d in enumerate(row))] = None
    for combination in list(seen):
        seen[tuple("float16" if d == "float32" else d for d in combination)] = None
    return list(seen)


def _guess(known: Sequence[str], first: str) -> str:
    return known[0] if known and not (known[0] in FLOATS and first in FLOATS) else first


def _check_types(node: Node) -> None:
    for value in (v for v in (*node.values, *node.results()) if v is not None):
        if value.kind != "tensor":
            raise UsageError(
                f"node {node.name or node.op_type}: {value.name} is a {value.kind}; CANN's custom "
                "operators take tensors."
            )
        if value.dtype is not None and value.dtype not in GE_TYPES:
            raise UsageError(
                f"node {node.name or node.op_type}: {value.name} is {value.dtype}, which no AI "
                "Core kernel takes."
            )


# ---------------------------------------------------------------------- attributes


def _attributes(
    nodes: Sequence[Node], schema: onnx.defs.OpSchema | None, op: str, taken: set[str]
) -> tuple[Attribute, ...]:
    found: dict[str, list[onnx.AttributeProto]] = {}
    for node in nodes:
        for name, attribute in node.attributes.items():
            found.setdefault(name, []).append(attribute)
    names = list(found)
    if schema is not None:
        names += [name for name in sorted(schema.attributes) if name not in found]
    result = []
    for name in names:
        cpp = identifier(name)
        while cpp in taken:
            cpp += "_"
        taken.add(cpp)
        result.append(_attribute(name, cpp, found.get(name, []), len(nodes), schema, op))
    return tuple(result)


def _attribute(
    name: str, cpp: str, seen: Sequence[onnx.AttributeProto], nodes: int,
    schema: onnx.defs.OpSchema | None, op: str,
) -> Attribute:  # fmt: skip
    declared = schema.attributes.get(name) if schema is not None else None
    kinds = {int(a.type) for a in seen}
    if not kinds and declared is not None:
        kinds = {int(declared.type.value)}
    if kinds == {onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT}:
        kinds = {onnx.AttributeProto.FLOAT}
    if len(kinds) != 1:
        known = ", ".join(sorted(onnx.AttributeProto.AttributeType.Name(k) for k in kinds))
        raise UsageError(
            f"--op {op}: attribute {name} has another type in different nodes ({known}); a "
            "prototype has one. Rename one of them in the model."
        )
    kind, nothing = _ATTRIBUTES.get(kinds.pop(), (None, None))
    values = list({repr(v): v for v in (plain(a) for a in seen)}.values())
    if kind == "float":
        values = [float(v) for v in values]
    required = len(seen) == nodes
    default, assumed = nothing, not required
    if declared is not None and declared.default_value.type:
        default, assumed = plain(declared.default_value), False
    return Attribute(name, cpp, kind, required, default, tuple(values), assumed)


def plain(attribute: onnx.AttributeProto) -> Any:
    """Return an attribute's value as JSON holds it; a word for tensors and graphs."""
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS):
        # the shortest spelling of a float32, 1e-05 and not 9.999999747378752e-06
        return [_short(v) for v in value] if isinstance(value, Iterable) else _short(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int | float):
        return value
    if isinstance(value, Iterable) and not isinstance(value, onnx.GraphProto | onnx.TensorProto):
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else
                v if isinstance(v, int | float) else f"<{type(v).__name__}>"
                for v in value]  # fmt: skip
    if isinstance(value, onnx.TensorProto):
        return f"<tensor {list(value.dims)}>"
    return f"<{type(value).__name__}>"


def _short(value: float) -> float:
    return float(str(np.float32(value)))


# ---------------------------------------------------------------------- occurrences


def _seen(node: Node) -> dict[str, Any]:
    """Return a node as occurrences.json lists it."""

    def tensor(value: Value | None) -> dict[str, Any] | None:
        if value is None:
            return None
        shape = None if value.shape is None else list(value.shape)
        return {"tensor": value.name, "dtype": value.dtype, "shape": shape,
                "constant": value.is_constant}  # fmt: skip

    return {
        "node": node.name,
        "inputs": [tensor(v) for v in node.values],
        "outputs": [tensor(v) for v in node.results()],
        "attributes": {name: plain(a) for name, a in node.attributes.items()},
    }
