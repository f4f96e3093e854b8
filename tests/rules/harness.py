"""What every rule is put through: its examples, its near misses, and hostile variants of both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx.reference import ReferenceEvaluator

from graphfix.comparison.inputs import random_input
from graphfix.comparison.runtimes import Port
from graphfix.graph import Model, dtypes, infer
from graphfix.rewrite.engine import Engine
from graphfix.rewrite.opset import Plan, convert
from graphfix.rewrite.proof import difference
from graphfix.rewrite.rule import Example, NearMiss, Rule
from graphfix.rewrite.whole import WholeProof, compare_models
from graphfix.support import Tables, Target

TARGET = Target.of(["Ascend310P3"])
TABLES = Tables()


def parse(text: str, opset: int) -> onnx.ModelProto:
    """Return the model of an example; domains that it uses are imported at version 1."""
    domains = {
        word.rpartition(".")[0]
        for word in text.replace("=", " ").split()
        if "." in word and "(" in word and word[0].isalpha()
    }
    imports = "".join(f', "{d}" : 1' for d in sorted(domains) if d and not d[0].isdigit())
    header = f'<ir_version: 8, opset_import: ["" : {opset}{imports}]> '
    return onnx.parser.parse_model(header + text)


def rewrite(rule: Rule, proto: onnx.ModelProto, target: int | None = None) -> tuple[
        onnx.ModelProto, Engine]:  # fmt: skip
    """Run one rule over a model, converting to `target` where that is another opset."""
    model = Model(copy.deepcopy(proto))
    infer(model)
    engine = Engine(model, TARGET, TABLES, [rule], approximate=True)
    source = model.opset or 0
    if target is not None and target != source:
        plan = Plan(source, target, {target: 0})
        convert(model, plan, engine)
        if plan.losses:
            return copy.deepcopy(proto), engine  # as fix does: the model keeps its opset
    else:
        engine.run()
    return model.to_proto(), engine


def fired(engine: Engine, rule: Rule) -> int:
    return engine.statistics[rule.name].fired


def reasons(engine: Engine, rule: Rule) -> str:
    statistics = engine.statistics[rule.name]
    return "; ".join([*statistics.missed, *statistics.refused])


def operators(proto: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in proto.graph.node if n.op_type != "Constant"]


def canonical(proto: onnx.ModelProto) -> str:
    """Return a model's text with names replaced by numbers in order of occurrence."""
    names: dict[str, str] = {}

    def rename(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}") if name else ""

    lines = []
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    for info in proto.graph.input:
        rename(info.name)
    for node in proto.graph.node:
        if node.op_type == "Constant":
            continue
        inputs = [
            f"{constants[i].dtype}{constants[i].tolist()}" if i in constants else rename(i)
            for i in node.input
        ]
        attributes = sorted(onnx.helper.printable_attribute(a) for a in node.attribute)
        outputs = [rename(o) for o in node.output]
        lines.append(f"{outputs} = {node.domain}::{node.op_type} {attributes} {inputs}")
    lines.append(f"-> {[rename(o.name) for o in proto.graph.output]}")
    return "\n".join(lines)


Run = Callable[[dict[str, np.ndarray]], list]


def runner(proto: onnx.ModelProto) -> Run | None:
    """Return what runs a valid model: ONNX Runtime, or onnx's reference evaluator; else None."""
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception:
        return None
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        session.run(None, made_up(proto))
        return lambda feed: session.run(None, feed)
    except Exception:
        pass
    try:
        evaluator = ReferenceEvaluator(proto)
        evaluator.run(None, made_up(proto))
        return lambda feed: evaluator.run(None, feed)
    except Exception:
        return None


def made_up(proto: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random inputs; open dims are 2."""
    model = Model(copy.deepcopy(proto))
    infer(model)
    rng = np.random.default_rng(seed)
    constants = {t.name for t in proto.graph.initializer}
    feed = {}
    for name in (i.name for i in proto.graph.input if i.name not in constants):
        value = model.graph.values[name]
        shape = tuple(d if isinstance(d, int) else 2 for d in value.shape or ())
        feed[name] = random_input(rng, Port(name, value.dtype, shape), shape)
    return feed


def runs(proto: onnx.ModelProto) -> bool:
    """Whether any engine runs the model: what none can run proves nothing."""
    return runner(proto) is not None


def same(before: onnx.ModelProto, after: onnx.ModelProto, rule: Rule) -> WholeProof:
    a, b = Model(before), Model(after)
    infer(a)
    infer(b)
    limit = max(rule.tolerance * 20, 1e-5)
    proof = compare_models(a, b, limit)
    if proof.ok is not None:
        return proof
    first, second = runner(before), runner(after)
    if first is None or second is None:
        return WholeProof(False, "the rewritten model does not run", 0)
    for seed in range(4):
        feed = made_up(before, seed)
        for want, have in zip(first(feed), second(feed), strict=True):
            problem, _ = difference(want, have, rule.exactness, limit)
            if problem is not None:
                return WholeProof(False, problem, seed)
    return WholeProof(True, "equal", 4)


# ---------------------------------------------------------------------- hostile variants

Variant = tuple[str, onnx.ModelProto]


def inner_values(proto: onnx.ModelProto) -> list[str]:
    outputs = {o.name for o in proto.graph.output}
    return [o for n in proto.graph.node for o in n.output if o and o not in outputs]


def variants(example: Example | NearMiss) -> Iterator[Variant]:
    """Yield the example's model in forms that trip careless rules."""
    base = parse(example.before, example.opset)
    for name in inner_values(base):
        yield f"{name} is an output", with_output(base, name)
        yield f"{name} has another consumer", with_consumer(base, name)
    for label, change in (
        ("twice in a row", twice),
        ("unnamed nodes", unnamed),
        ("operands swapped", swapped),
        ("constants as nodes", constants_as_nodes),
        ("constants as initializers", constants_as_initializers),
        ("symbolic dims", symbolic),
        ("inside a branch", inside_branch),
    ):
        changed = change(base)
        if changed is not None:
            yield label, changed
    for opset in range(11, 24):
        if opset != example.opset:
            other = copy.deepcopy(base)
            other.opset_import[0].version = opset
            yield f"opset {opset}", other


def with_output(base: onnx.ModelProto, name: str) -> onnx.ModelProto:
    proto = copy.deepcopy(base)
    proto.graph.output.add(name=name)
    return typed(proto)


def with_consumer(base: onnx.ModelProto, name: str) -> onnx.ModelProto:
    proto = copy.deepcopy(base)
    proto.graph.node.append(onnx.helper.make_node("Identity", [name], ["another_use"]))
    proto.graph.output.add(name="another_use")
    return typed(proto)


def typed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Give untyped outputs their inferred types, which the checker wants."""
    model = Model(copy.deepcopy(proto))
    infer(model)
    for info in proto.graph.output:
        value = model.graph.values.get(info.name)
        if not info.HasField("type") and value is not None and value.dtype is not None:
            number = dtypes.NUMBERS[value.dtype]
            info.CopyFrom(onnx.helper.make_tensor_value_info(info.name, number, value.shape))
    return proto


def twice(base: onnx.ModelProto) -> onnx.ModelProto | None:
    """Apply the example's nodes to their own first output, where the types allow it."""
    if len(base.graph.output) != 1:
        return None
    proto = copy.deepcopy(base)
    result = proto.graph.output[0].name
    alike = [i.name for i in proto.graph.input if i.type == proto.graph.output[0].type]
    if not alike or any(a.HasField("g") for n in proto.graph.node for a in n.attribute):
        return None
    source = alike[0]
    made = {o for n in base.graph.node for o in n.output}
    for node in base.graph.node:
        again = proto.graph.node.add()
        again.CopyFrom(node)
        again.name = node.name and node.name + "_again"
        for field in (again.input, again.output):
            for i, name in enumerate(field):
                if name in made:
                    field[i] = name + "_again"
                elif name == source:
                    field[i] = result
    proto.graph.output[0].name = result + "_again"
    return proto


def unnamed(base: onnx.ModelProto) -> onnx.ModelProto:
    proto = copy.deepcopy(base)
    for node in proto.graph.node:
        node.name = ""
    return proto


COMMUTATIVE = (
    "Add", "Mul", "Max", "Min", "Sum", "Mean", "Equal", "And", "Or", "Xor", "BitwiseAnd",
    "BitwiseOr", "BitwiseXor",
)  # fmt: skip


def swapped(base: onnx.ModelProto) -> onnx.ModelProto | None:
    proto = copy.deepcopy(base)
    found = False
    for node in proto.graph.node:
        if node.op_type in COMMUTATIVE and len(node.input) == 2:
            node.input[:] = [node.input[1], node.input[0]]
            found = True
    return proto if found else None


def constants_as_nodes(base: onnx.ModelProto) -> onnx.ModelProto | None:
    if not base.graph.initializer:
        return None
    proto = copy.deepcopy(base)
    nodes = [
        onnx.helper.make_node("Constant", [], [t.name], value=t) for t in proto.graph.initializer
    ]
    rest = list(proto.graph.node)
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(nodes + rest)
    return proto


def constants_as_initializers(base: onnx.ModelProto) -> onnx.ModelProto | None:
    proto = copy.deepcopy(base)
    kept = []
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensor = proto.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    if len(kept) == len(proto.graph.node):
        return None
    kept = [copy.deepcopy(n) for n in kept]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    return proto


def symbolic(base: onnx.ModelProto) -> onnx.ModelProto:
    proto = copy.deepcopy(base)
    for info in proto.graph.input:
        for i, dim in enumerate(info.type.tensor_type.shape.dim):
            dim.dim_param = f"{info.name}_{i}"
    for info in proto.graph.output:
        info.type.tensor_type.ClearField("shape")
    return proto


def inside_branch(base: onnx.ModelProto) -> onnx.ModelProto | None:
    """Put the example's nodes into the then branch of an If; inputs become captured values."""
    if any(o.name in {i.name for i in base.graph.input} for o in base.graph.output):
        return None
    proto = copy.deepcopy(base)
    branch = onnx.GraphProto(name="then")
    branch.node.extend(base.graph.node)
    branch.initializer.extend(base.graph.initializer)
    other = onnx.GraphProto(name="else")
    for info in base.graph.output:
        branch.output.add().CopyFrom(info)
    other.CopyFrom(branch)
    other.name = "else"
    for graph in (other,):
        made = {o for n in graph.node for o in n.output} | {t.name for t in graph.initializer}
        for node in graph.node:
            node.name = node.name and node.name + "_else"
            for field in (node.input, node.output):
                for i, name in enumerate(field):
                    if name in made:
                        field[i] = name + "_else"
        for tensor in graph.initializer:
            tensor.name += "_else"
        for info in graph.output:
            info.name += "_else"
    for info in branch.output:
        _suffix(branch, info.name, "_then")
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.input.insert(0, onnx.helper.make_tensor_value_info("cond", 9, []))
    names = [o.name for o in base.graph.output]
    proto.graph.node.append(
        onnx.helper.make_node("If", ["cond"], names, then_branch=branch, else_branch=other)
    )
    return proto


def _suffix(graph: onnx.GraphProto, name: str, suffix: str) -> None:
    for node in graph.node:
        for field in (node.input, node.output):
            for i, text in enumerate(field):
                if text == name:
                    field[i] = name + suffix
    for info in graph.output:
        if info.name == name:
            info.name = name + suffix


Change = Callable[[onnx.ModelProto], "onnx.ModelProto | None"]
