"""What to do about a cause, for this model, this target and this operator."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from graphfix.analysis.check import shipped_rules
from graphfix.atc.codes import find_atc_code
from graphfix.atc.diagnosis.cause import Cause, Reading
from graphfix.atc.diagnosis.naming import NamedNode, plain_type
from graphfix.errors import nearest
from graphfix.support.kernels import ai_core

_NO_PARSER = frozenset({"E13010", "E16002"})
_MOST_PREDICTED = 20
_KEY = re.compile(r"^(?P<domain>[\w.\-]*)::(?P<opset>-?\d+)::(?P<op>\w+)$")
_MISSING = re.compile(r"No module named ['\"]?(?P<name>[\w.]+)")


def advise(cause: Cause, reading: Reading) -> None:
    """Make headline, remedy and commands speak of this model."""
    entry = find_atc_code(cause.code)
    canonical = entry.canonical if entry is not None else cause.code
    facts = cause.facts
    if canonical in _NO_PARSER or canonical == "E10501":
        _explain_types(cause, reading)
    elif canonical == "E10016":
        _suggest_names(cause, reading)
    elif facts.get("parameter") == "--host_env_os":
        cause.remedy = (
            "Source CANN's set_env.sh in the shell that runs atc, not in an IDE: without it ATC "
            "finds no package for this system"
        )
    elif canonical in ("E10001", "E10011") and facts.get("parameter") == "--input_shape":
        _suggest_shapes(cause, reading)
    elif canonical in ("EZ3002", "EZ3003"):
        _explain_kernels(cause, reading)
    elif canonical == "E40020":
        missing = _MISSING.search(str(facts.get("module", "")))
        if missing is not None and missing["name"].split(".")[0] in ("tbe", "te", "topi", "impl"):
            cause.remedy = (
                "Source CANN's set_env.sh: it puts CANN's own Python packages on PYTHONPATH. "
                "Python must be one that this CANN supports"
            )
        elif missing is not None:
            cause.remedy = (
                "Install it into the first python3 on PATH: "
                f"python3 -m pip install {missing['name']}"
            )
        elif "numpy" in str(facts.get("module", "")).lower() or "np." in str(
            facts.get("module", "")
        ):
            cause.remedy = "NumPy is too new for this CANN: python3 -m pip install 'numpy<2'"
    elif canonical == "E20007" and "pass" in facts:
        cause.remedy = (
            f"Switch the pass off: graphfix atc fusion-switch --off {facts['pass']} -o "
            "fusion_switch.cfg, then --fusion_switch_file=fusion_switch.cfg"
        )
    if cause.severity == "error" and cause.role in ("operator", "catch-all", "names"):
        _add_predictions(cause, reading, canonical)
    cause.headline = _headline(cause)
    if cause.severity == "error" and cause.nodes and cause.role == "operator":
        _name_cuts(cause)
    cause.commands = [c for c in (_filled(c, cause, reading) for c in cause.commands) if c]


def _add_predictions(cause: Cause, reading: Reading, canonical: str) -> None:
    """Add what check predicts of the nodes; where the log names none, what it expects there."""
    rules = set(cause.facts.get("rules", ()))
    for node in cause.nodes[:_MOST_PREDICTED]:
        for entry in reading.predicted(node.node) if node.node and node.by != "type" else ():
            if canonical in _NO_PARSER and entry.code in ("GF101", "GF102"):
                continue  # said already, from the same tables
            if cause.stage == "build" and entry.stage == "parse":
                continue  # the parser let it pass
            by = f"; graphfix fix: {entry.fix}" if entry.fix else ""
            note = f"check predicts {entry.code}: {entry.message.rstrip('.')}{by}"
            if note not in node.notes and len(node.notes) < 3:
                node.notes.append(note)
                rules |= {entry.fix} - {None}
    if cause.role == "catch-all" and not cause.nodes and cause.stage in ("parse", "any"):
        # what has a number of its own would have shown it
        likely = [
            e for e in reading.predicted()
            if e.effect == "rejected" and _is_catch_all(e.error_code)
        ]  # fmt: skip
        if likely:
            cause.facts["expected"] = [
                {"node": e.node or e.scope, "code": e.code, "message": e.message}
                for e in likely[:_MOST_PREDICTED]
            ]
        rules |= {e.fix for e in likely if e.fix}
    if rules:
        cause.facts["rules"] = sorted(str(r) for r in rules)


def _is_catch_all(code: str | None) -> bool:
    entry = find_atc_code(code) if code is not None else None
    return entry is None or entry.is_catch_all


def _headline(cause: Cause) -> str:
    facts = cause.facts
    if "meaning" in facts and cause.code == "unexplained":
        return f"no known code, but the words say: {facts['meaning']}"
    if "meaning" in facts:
        return f"{cause.headline}: {facts['meaning']}"
    if facts.get("open_inputs"):
        inputs = ", ".join(facts["open_inputs"][:4])
        has = "have" if "," in inputs else "has"
        return f"{facts['parameter']}: {inputs} still {has} open dims"
    if "parameter" in facts and facts.get("reason"):
        return f"{facts['parameter']}: {facts['reason'][:120]}"
    if cause.role == "cause" and "parameter" in facts:
        value = f" {facts['value']}" if facts.get("value") else ""
        return f"{facts['parameter']}{value[:60]}: {cause.headline}"
    if facts.get("file"):
        return f"{cause.headline}: {facts['file'][-80:]}"
    if "module" in facts:
        return f"{cause.headline}: {facts['module'][:120]}"
    if "pass" in facts:
        return f"{cause.headline}: {facts['pass']}"
    types = list(dict.fromkeys(n.op_type for n in cause.nodes if n.op_type))
    if cause.role == "operator" and types:
        return f"{cause.headline}: {', '.join(types[:4])}" + (" ..." if len(types) > 4 else "")
    return cause.headline


def _explain_types(cause: Cause, reading: Reading) -> None:
    """Say of each operator without a parser why, from the tables, and which rule writes it."""
    rules: list[str] = []
    hopeless: list[str] = []
    for node in cause.nodes:
        match = _KEY.match(node.key or "")
        op_type = node.op_type or ""
        opset = int(match["opset"]) if match else None
        domain = match["domain"] if match else "ai.onnx"
        why, rule = explain_type(op_type, domain or "ai.onnx", opset, reading)
        node.notes.append(why)
        if rule is not None:
            rules.append(rule)
        elif "no rule" in why:
            hopeless.append(op_type)
    if rules:
        cause.facts["rules"] = sorted(set(rules))
    if hopeless and not rules:
        cause.remedy = (
            f"No rule of graphfix writes {', '.join(sorted(set(hopeless)))} otherwise: replace it "
            "in the export, cut the model there, or deploy a plugin of your own"
        )


def explain_type(
    op_type: str, domain: str, opset: int | None, reading: Reading
) -> tuple[str, str | None]:
    """Return why an operator has no parser at an opset, and the rule that writes it otherwise."""
    operator = reading.tables.operator(op_type)
    release = reading.target.release.name if reading.target is not None else "8.1.RC1"
    if operator is None:
        return (
            f"{op_type or 'it'} is no operator that CANN's tables know, and no rule writes it: a "
            "custom operator needs a plugin of its own", None,
        )  # fmt: skip
    rule = operator.fix or f"decompose/{_snake(op_type)}"
    known = rule if rule in shipped_rules() else None
    by = f"; graphfix fix: {known}" if known else ""
    opsets = operator.opsets(domain or "ai.onnx", release)
    if not opsets:
        more = "" if known else "; no rule writes it yet"
        return f"CANN {release} registers {op_type} at no opset of {domain}{by}{more}", known
    span = f"{opsets[0]}-{opsets[-1]}" if len(opsets) > 1 else str(opsets[0])
    if opset is None:
        return f"CANN {release} registers {op_type} at opsets {span}{by}", known
    if opset in opsets:
        return (
            f"{op_type} is registered at opset {opset} in {release}: the plugin library did not "
            "load (set_env.sh, the operator package), or another release ran", None,
        )  # fmt: skip
    return (
        f"opset {opset} is not registered, {span} are; graphfix fix: opset planner",
        "opset planner",
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


# what a kernel library gives as its reason, and what helps
_KERNEL_REASONS = (
    (
        r"dynamic ?shape is not supported|not support dynamic",
        "The chip takes static shapes only for it: bind all dims, or give profiles",
        ("graphfix convert MODEL --soc SOC --shape NAME=...",
         "graphfix convert MODEL --soc SOC --batch 1,4"),
    ),
    (
        r"d(?:ata)?_?type.{0,60}(?:not|isn't|unsupport|equivalent|match)|format and dtype",
        "No kernel takes these element types or this format: another --precision_mode, a Cast, or "
        "a rule that writes the node otherwise",
        ("graphfix check MODEL --soc SOC", "graphfix fix MODEL -o FIXED --soc SOC",
         "graphfix ops OP --soc SOC"),
    ),
)  # fmt: skip


def _explain_kernels(cause: Cause, reading: Reading) -> None:
    """Say what the reason means, and of each operator whether the tables know a kernel."""
    reason = str(cause.facts.get("reason", ""))
    for pattern, remedy, commands in _KERNEL_REASONS:
        if re.search(pattern, reason, re.IGNORECASE):
            cause.remedy, cause.commands = remedy, list(commands)
            break
    target = reading.target
    for node in cause.nodes:
        if node.raw.startswith("trans_"):
            node.notes.append("GE inserts it to change a layout; it is not in your model")
        ge_op = plain_type(node.key) or node.op_type
        if target is None or not target.socs or not ge_op:
            continue
        soc = target.socs[0]
        kernel = ai_core(target.release, soc, ge_op)
        if kernel is not None and cause.code == "EZ3003":
            node.notes.append(
                f"the tables of {target.release.name} list an AI Core kernel of {ge_op} for "
                f"{soc.family}: its kernels package is missing, or --soc_version is another chip"
            )
        elif kernel is not None and kernel.is_static_only:
            node.notes.append(f"the AI Core kernel of {ge_op} takes static shapes only")


def _suggest_names(cause: Cause, reading: Reading) -> None:
    inputs = list(reading.names.inputs.values())
    if inputs:
        near = [nearest(n.raw, inputs) for n in cause.nodes if n.node is None]
        cause.facts["inputs"] = inputs
        listed = ", ".join(inputs[:6]) + (" ..." if len(inputs) > 6 else "")
        cause.remedy += f". The model's inputs: {listed}. " + " ".join(near[:2])
        cause.remedy = cause.remedy.rstrip()


def _suggest_shapes(cause: Cause, reading: Reading) -> None:
    """Name the inputs with open dims, and what to write for them."""
    model = reading.names.model
    if model is None:
        name = cause.facts.get("input")
        if name:
            cause.facts["open_inputs"] = [name]
            cause.remedy = f'Give numbers for its open dims: --input_shape="{name}:d1,d2,..."'
            cause.commands = [f"graphfix convert MODEL --soc SOC --shape {shlex.quote(name)}=d1,d2"]
        return
    open_inputs = []
    for name in reading.names.inputs.values():
        value = model.graph.values.get(name)
        shape = value.shape if value is not None else None
        if shape is None or any(not isinstance(d, int) for d in shape):
            dims = ",".join(str(d) if isinstance(d, int) else "1" for d in shape or ())
            open_inputs.append((name, dims))
    if not open_inputs:
        return
    cause.facts["open_inputs"] = [n for n, _ in open_inputs]
    if not cause.nodes:
        cause.nodes = [NamedNode(n, n, kind="input", by="name") for n, _ in open_inputs]
    spelled = ";".join(f"{n}:{d}" for n, d in open_inputs[:8])
    if cause.code == "E10001":
        cause.remedy = f'Give numbers for the open dims, for instance --input_shape="{spelled}"'
    flags = " ".join(f"--shape {shlex.quote(f'{n}={d}')}" for n, d in open_inputs[:4])
    cause.commands = [f"graphfix convert MODEL --soc SOC {flags}"]


def _name_cuts(cause: Cause) -> None:
    """Where nothing else helps the model is cut: name the nodes for it."""
    nodes = [n.node for n in cause.nodes if n.node and n.by not in ("type",)]
    if nodes:
        cause.facts["cut_at"] = nodes[:20]


def _filled(command: str, cause: Cause, reading: Reading) -> str:
    """Put this model, SoC, operator and pass into a command; empty when it makes no sense here."""
    model = reading.path or Path("MODEL.onnx")
    target = reading.target
    soc = target.socs[0].name if target is not None and target.socs else "SOC"
    op_type = next((n.op_type for n in cause.nodes if n.op_type), "OP")
    fixed = model.with_name(f"{model.stem.removesuffix('.fixed')}.fixed.onnx")
    words = {
        "MODEL": shlex.quote(str(model)),
        "FIXED": shlex.quote(str(fixed)),
        "SOC": soc,
        "OP": op_type or "OP",
        "PASS": str(cause.facts.get("pass", "PASS")),
        "NAME": str(cause.facts.get("parameter", "NAME")).lstrip("-"),
    }  # fmt: skip
    if "custom-op" in command:
        key = next((n.key for n in cause.nodes if n.key and "::" in n.key), None)
        if reading.tables.operator(op_type) is not None:
            return ""
        match = _KEY.match(key or "")
        words["OP"] = f"{match['domain'] or 'ai.onnx'}::{match['op']}" if match else words["OP"]
    if command.startswith("graphfix fix") and model.name.endswith(".fixed.onnx"):
        return ""
    if "atc options NAME" in command and "parameter" not in cause.facts:
        return ""
    if "atc options NAME" not in command:
        words["NAME"] = "NAME"
    return re.sub(r"\b(MODEL|FIXED|SOC|OP|PASS|NAME)\b", lambda m: words[m[1]], command)
