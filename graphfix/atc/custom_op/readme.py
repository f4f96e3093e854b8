"""The README of a custom operator: what the model says, what is open, the release's steps."""

from __future__ import annotations

import json

from graphfix.atc.custom_op.prototype import Param, Prototype, shape_source
from graphfix.support.target import Target

_SET_ENV = {"8.1.RC1": "/usr/local/Ascend/ascend-toolkit/set_env.sh"}
_SET_ENV_LATER = "/usr/local/Ascend/cann/set_env.sh"


def readme(prototype: Prototype, target: Target, model: str) -> dict[str, str]:
    """Return the words of the README's template."""
    kind = f"{prototype.domain}::{prototype.op_type}"
    renamed = prototype.domain != "ai.onnx"
    checked = "renamed.onnx" if renamed else model
    release = target.release.name
    return {
        "op": kind,
        "model": model,
        "table": _table(prototype),
        "open": _open(prototype),
        "set_env": _SET_ENV.get(release, _SET_ENV_LATER),
        "soc": target.socs[0].name if target.socs else "SOC_VERSION",
        "checked": checked,
        "custom": f"ai.onnx::{prototype.op_type}",
        "renaming": _RENAMING.format(
            model=json.dumps(model), domain=json.dumps(prototype.domain)
        ) if renamed else "",
        "why_rename": _WHY if renamed else "",
    }  # fmt: skip


_RENAMING = """python3 - <<'EOF'
import onnx
def rename(graph):
    for node in graph.node:
        if node.domain == {domain}:
            node.domain = ""
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                rename(inner)
model = onnx.load({model}, load_external_data=False)
rename(model.graph)
kept = [entry for entry in model.opset_import if entry.domain != {domain}]
del model.opset_import[:]
model.opset_import.extend(kept)
onnx.save(model, "renamed.onnx")
EOF
"""
_WHY = """
Why renamed: up to CANN 9.2.0-beta.1 the parser refuses a model that imports a second opset when a
node has no domain of its own (E16005). The plugin registers the operator under `ai.onnx` too.
"""


def _table(prototype: Prototype) -> str:
    lines = ["| | name | what | values or shapes |", "|---|---|---|---|"]
    for way, params in (("input", prototype.inputs), ("output", prototype.outputs)):
        for param in params:
            shapes = "; ".join(_shape(param, i) for i in range(len(param.shapes))) or "unknown"
            types = ", ".join(dict.fromkeys(param.dtypes))
            lines.append(f"| {way} | {param.name} | {param.kind}: {types} | {shapes} |")
    for attribute in prototype.attributes:
        values = "; ".join(_cell(json.dumps(v, ensure_ascii=False)) for v in attribute.values[:8])
        kind = "required" if attribute.required else f"optional, default {attribute.default!r}"
        what = f"{kind}: {attribute.type}" if attribute.type else "not expressible"
        lines.append(f"| attribute | {attribute.name} | {_cell(what)} | {values} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _shape(param: Param, index: int) -> str:
    shape = param.shapes[index]
    if shape is None:
        return "unknown"
    return "[" + ",".join("?" if d is None else str(d) for d in shape) + "]"


def _open(prototype: Prototype) -> str:
    """Return what the user must settle, as a list."""
    found = [
        f"- The type of {p.name} is told by no node; the first input's is assumed."
        for p in (*prototype.inputs, *prototype.outputs)
        if p.assumed
    ]
    found += [
        f"- The shape of {output.name} does not follow from an input: write InferShape."
        for index, output in enumerate(prototype.outputs)
        if shape_source(prototype, index) is None
    ]
    for attribute in prototype.attributes:
        if attribute.type is None:
            found.append(
                f"- The attribute {attribute.onnx_name} is a tensor, a graph or a list of texts, "
                "which CANN's attributes cannot be: pass it as an input, or as numbers."
            )
        elif attribute.assumed:
            found.append(
                f"- Some nodes leave the attribute {attribute.onnx_name} out, and nothing tells "
                f"its default: {attribute.default!r} is assumed."
            )
    if any(p.kind == "optional" for p in prototype.inputs):
        found.append(
            "- Some nodes leave inputs out. If the operator takes any number of inputs, run "
            "graphfix again with --variadic."
        )
    if any(None in node["outputs"] for node in prototype.nodes):
        found.append(
            "- Some nodes leave outputs without a name; the parser links empty names with each "
            "other: `graphfix fix` gives them names."
        )
    if any(None in node["inputs"] for node in prototype.nodes):
        found.append("- Optional inputs that are left out arrive as a null pointer or not at all.")
    if prototype.registered:
        found.append(
            f"- CANN has a plugin for it already ({prototype.registered}): see `graphfix ops "
            f"{prototype.op_type}`. Yours, loaded first, would take its place for this opset."
        )
    return "\nOpen questions:\n\n" + "\n".join(found) + "\n" if found else ""
