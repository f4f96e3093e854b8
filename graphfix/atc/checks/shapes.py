"""--input_shape, profiles and --out_nodes, against each other and against the model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from graphfix.atc import shapes as shape
from graphfix.atc.checks.view import View
from graphfix.atc.command import Fault
from graphfix.support.paths import data_folder

if TYPE_CHECKING:
    from graphfix.comparison.runtimes import Port


# ---------------------------------------------------------------------- shapes and profiles


def shapes(view: View) -> Iterator[Fault]:
    """Yield what is wrong with shapes and profiles."""
    text = view.value("input_shape")
    kinds = [n for n in shape.PROFILES if view.has(n)]
    if view.has("input_shape_range") or view.framework == "mindspore":
        yield from _shape_range(view)
        return
    if not view.command.options.get("input_shape") and not view.command.extra:
        if kinds and view.fragment:
            yield from _profiles_alone(kinds[0], view.value(kinds[0]) or "")
        elif kinds:
            yield _no_shape(view, kinds[0])
        elif view.facts is not None and view.mode == "0" and not view.fragment:
            yield from _unlisted(view, shape.Shapes({}), kinds)
        return
    if not text:
        return
    shapes, faults = shape.read_shapes(text)
    if shapes is None:
        yield from (replace(f, edits={"input_shape": "<NAME>:<DIMS>"}) for f in faults)
        return
    yield from faults
    low = [f"{n}:{d}" for n, dims in shapes.fixed.items() for d in dims if d < -1 or d == 0]
    if low:
        mended = shapes.with_least_dims()
        yield Fault("dim-not-positive", "input_shape", {"value": low[0]},
                    edits={"input_shape": mended.text})  # fmt: skip
    if shapes.has_range and kinds:
        whole = shapes.without_ranges().text
        words = {"value": text, "option": kinds[0], "whole": whole}
        yield Fault("range-with-profiles", "input_shape", words, edits={"input_shape": whole})
        shapes = shapes.without_ranges()
    if len(kinds) == 1:
        yield from _profiles(view, kinds[0], shapes)
    elif not kinds and not view.command.extra:
        yield from _dynamic(view, shapes)
    if view.facts is not None and not shapes.by_position:
        yield from _against_model(view, shapes, kinds)


def _profiles(view: View, option: str, shapes: shape.Shapes) -> Iterator[Fault]:
    value = view.value(option)
    if value is None or not value.strip():
        return
    rows, faults = shape.read_profiles(option, value)
    yield from faults
    if rows is None:
        return
    on_950 = view.soc is not None and view.soc.family == "ascend910_95"
    on_950 = on_950 or (view.value("soc_version") or "").startswith("Ascend950")
    limit = shape.MAX_PROFILES_950 if on_950 else shape.MAX_PROFILES
    name = view.soc.name if view.soc else "atc"
    layout = view.value("input_format") or ("NHWC" if view.framework == "tensorflow" else "NCHW")
    yield from shape.profile_faults(option, rows, shapes, limit, name, layout)
    if option == shape.DIMS and not view.command.unknown("input_format"):
        given = view.value("input_format")
        if given != "ND" and not view.fragment:
            yield Fault("dims-without-nd", "input_format", edits={"input_format": "ND"})


def _profiles_alone(option: str, value: str) -> Iterator[Fault]:
    """Yield what is wrong with profiles whatever the shapes are."""
    if not value.strip():
        return
    rows, faults = shape.read_profiles(option, value)
    yield from faults
    if rows is not None and len(rows) == 1 and option == shape.DIMS and len(rows[0]) > 1:
        right = shape.written(option, [(n,) for n in rows[0]])
        words = {"value": value, "count": len(rows[0]), "advice": right}
        yield Fault("dims-commas", option, words, edits={option: right})


def _no_shape(view: View, option: str) -> Fault:
    whole = "<NAME>:-1,<DIMS>"
    ports = view.facts.ports if view.facts else ()
    if ports and all(p.shape is not None for p in ports):
        whole = _shape_of_model(ports)
    code = "E10058" if option == shape.DIMS else "E10004"
    advice = f'--input_shape="{whole}"'
    return Fault("profiles-without-shape", option, {"option": option, "advice": advice}, code,
                 {"input_shape": whole})  # fmt: skip


def _shape_of_model(ports: Sequence[Port], given: Mapping[str, str] | None = None) -> str:
    entries = []
    for port in ports:
        dims = ",".join(str(d) if isinstance(d, int) else "-1" for d in port.shape or ())
        entries.append((given or {}).get(port.name, f"{port.name}:{dims}"))
    return ";".join(entries)


def _dynamic(view: View, shapes: shape.Shapes) -> Iterator[Fault]:
    """Yield what a dynamic shape means without profiles."""
    open_axes = shapes.open_axes()
    if not open_axes:
        return
    name = open_axes[0][0]
    value = f"{name}:{','.join(map(str, shapes.fixed[name]))}"
    if shapes.has_range:
        entry = shape.Shapes({name: shapes.inputs[name]}, shapes.by_position)
        value = entry.text
    if view.soc is not None and view.soc.family in ("ascend310b", "ascend035"):
        static = shapes.without_ranges().with_dim(open_axes, 1)
        yield Fault("dynamic-shape-on-chip", "input_shape", {
            "soc": view.soc.name, "value": value}, edits={"input_shape": static.text})  # fmt: skip
    elif not shapes.has_range:
        yield Fault("open-dim-without-profiles", "input_shape", {"value": value})


def _shape_range(view: View) -> Iterator[Fault]:
    text = view.value("input_shape_range")
    if not text:
        return
    entries = [e.strip() for e in text.split(";")]
    form = r".+:\s*\[\s*(-?\d+(~-?\d+)?)(\s*,\s*-?\d+(~-?\d+)?)*\s*\]"
    if all(re.fullmatch(form, e) for e in entries):
        return
    plain = re.sub(r"[\[\]]", "", text).strip().rstrip(";")
    found = shape.read_shapes(plain)[0]
    edits: dict[str, str | None] = {"input_shape_range": None}
    if found is not None and not view.has("input_shape"):
        edits["input_shape"] = found.text
    yield Fault("shape-form", "input_shape_range", {
        "value": text, "why": "here each input has one pair of brackets, name:[1~8,3]"},
        "E10048", edits)  # fmt: skip


def _against_model(view: View, shapes: shape.Shapes, kinds: Sequence[str]) -> Iterator[Fault]:
    """Yield what contradicts the model that is there."""
    assert view.facts is not None
    ports = {p.name: p for p in view.facts.ports}
    for name, dims in shapes.fixed.items():
        port = ports.get(name)
        if port is None:
            yield _unknown_input(view, shapes, name, ports)
            continue
        declared = port.shape
        if declared is None:
            continue
        shown = ",".join(str(d) if d is not None else "?" for d in declared)
        entry = f"{name}:{','.join(map(str, dims))}"
        if len(declared) != len(dims):
            right = dict(shapes.inputs)
            right[name] = tuple(d if isinstance(d, int) else -1 for d in declared)
            yield Fault("rank-differs", "input_shape", {
                "value": entry, "count": len(dims), "known": f"{len(declared)}: {name}[{shown}]"},
                edits={"input_shape": shape.Shapes(right).text})  # fmt: skip
            continue
        pairs = list(zip(dims, declared, strict=True))
        if any(isinstance(have, int) and want != have for want, have in pairs):
            right = dict(shapes.inputs)
            right[name] = tuple(have if isinstance(have, int) else want for want, have in pairs)
            yield Fault("dim-against-model", "input_shape", {
                "value": entry, "known": f"{name}[{shown}]"},
                edits={"input_shape": shape.Shapes(right).text})  # fmt: skip
    if view.mode == "0":
        yield from _unlisted(view, shapes, kinds)


def _unknown_input(view: View, shapes: shape.Shapes, name: str, ports: Mapping[str, Port]) -> Fault:
    free = [p for p in ports if p not in shapes.inputs]
    close = difflib.get_close_matches(name, free, n=1, cutoff=0.4)
    right: str | None = close[0] if close else free[0] if len(free) == 1 else None
    inputs = {(right or n) if n == name else n: d for n, d in shapes.inputs.items()
              if n != name or right is not None}  # fmt: skip
    is_node = view.facts is not None and name in view.facts.nodes
    return Fault("unknown-input", "input_shape", {
        "value": name, "known": ", ".join(list(ports)[:6]),
        "advice": f"{right} in its place" if right else "leave it out"},
        "E10017" if is_node else "E10016",
        {"input_shape": shape.Shapes(inputs, shapes.by_position).text or None})  # fmt: skip


def _unlisted(view: View, shapes: shape.Shapes, kinds: Sequence[str]) -> Iterator[Fault]:
    assert view.facts is not None
    names = {p.name for p in view.facts.ports}
    if any(n not in names for n in shapes.inputs):
        return  # told as unknown inputs
    for port in view.facts.ports:
        if port.name in shapes.inputs or port.shape is None:
            continue
        if all(isinstance(d, int) for d in port.shape) and (port.shape or not kinds):
            continue
        given = {n: shape.Shapes({n: d}).text for n, d in shapes.inputs.items()}
        whole = _shape_of_model(view.facts.ports, given)
        yield Fault("input-without-shape", "input_shape", {"value": port.name, "whole": whole},
                    edits={"input_shape": whole})  # fmt: skip
        return


def _looks_like_a_node(name: str) -> bool:
    """Whether a name is one that exporters give to nodes: Conv_12, conv1, /layer/Conv."""
    folder = data_folder("op_support") / "standard"
    base = re.sub(r"[_\d]+$", "", name.rpartition("/")[2]).lower()
    return any(path.stem.lower() == base for path in folder.glob("*.toml"))


def outputs(view: View) -> Iterator[Fault]:
    """Yield entries of --out_nodes that name nothing."""
    value = view.value("out_nodes")
    if not value or view.framework not in ("onnx", None):
        return
    entries = [e.strip() for e in value.split(";") if e.strip()]
    for entry in entries:
        name, colon, index = entry.rpartition(":")
        is_node = bool(colon) and index.isdigit()
        facts = view.facts
        if facts is None:
            if not is_node and view.framework == "onnx" and _looks_like_a_node(entry):
                yield Fault("out-node-without-index", "out_nodes", {
                    "value": entry, "advice": f"{entry}:0"})  # fmt: skip
            continue
        if is_node and name not in facts.nodes and entry not in facts.outputs:
            known = ", ".join(sorted(facts.nodes)[:4]) or "its nodes have no names"
            yield Fault("output-name", "out_nodes", {
                "value": entry, "why": "no node has that name",
                "advice": f"a node of the model: {known}"}, edits={"out_nodes": None})  # fmt: skip
        elif not is_node and entry not in facts.outputs:
            node = entry in facts.nodes
            right = ";".join(f"{e}:0" if e in facts.nodes else e for e in entries)
            why = "is a node, and a bare name is read as an output" if node else "is no output"
            advice = f'--out_nodes="{right}"' if node else (
                f"one of {', '.join(sorted(facts.outputs)[:4])}; a node is name:0")  # fmt: skip
            yield Fault("output-name", "out_nodes", {"value": entry, "why": why, "advice": advice},
                        edits={"out_nodes": right if node else None})  # fmt: skip
