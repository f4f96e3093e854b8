"""Names and values of options, and which options must be there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.atc import shapes as shape
from graphfix.atc.checks.view import FILL, SUFFIXES, View, is_placeholder
from graphfix.atc.command import Fault
from graphfix.atc.options import (
    FRAMEWORK_NAMES,
    AtcOption,
    atc_options,
    begun_by,
    near_options,
)

if TYPE_CHECKING:
    pass

_STATUS = {
    "deprecated": "deprecated",
    "undocumented": "in no document; the source of 2026 still reads it",
}
_SURE_TYPES = ("FP32", "FP16", "UINT8", "INT8", "HIF8", "HIF4", "FP8E5M2", "FP8E4M3FN")


# ---------------------------------------------------------------------- names and values


def names(view: View) -> Iterator[Fault]:
    """Yield options that do not exist, are gone or not documented."""
    for name, given in view.command.options.items():
        option = atc_options().get(name)
        if option is None:
            yield from _unknown(view, name, given.value)
        elif option.status == "removed":
            words = {"option": name, "advice": option.instead}
            yield Fault("removed-option", name, words, edits={name: None})
        elif option.status in _STATUS:
            advice = f"{option.instead} took its place" if option.instead else "leave it out"
            if option.status == "deprecated":
                advice = f"{option.instead} takes its place"
            yield Fault("deprecated-option", name, {
                "option": name, "status": _STATUS[option.status], "advice": advice})  # fmt: skip
        elif option.status == "unsupported":
            words = {"option": name, "soc": "every chip"}
            yield Fault("unsupported-option", name, words, edits={name: None})


def _unknown(view: View, name: str, value: str) -> Iterator[Fault]:
    begun = begun_by(name)
    if len(begun) > 1:
        yield Fault("ambiguous-option", name, {
            "value": name, "several": ", ".join(f"--{b}" for b in begun[:4])},
            edits={name: None})  # fmt: skip
        return
    near = near_options(name)
    free = [n for n in near if not view.has(n)]
    if near:
        advice = " or ".join(f"--{n}" for n in near[:2]) + "?"
        if not free:
            advice = f"leave it out (--{near[0]} is there)"
    else:
        advice = "leave it out"
    if "dynamic" in name and "batch" in name:
        advice = "leave it out; --dynamic_batch_size=1,2,4 lists the sizes"
        free = []
    edits: dict[str, str | None] = {name: None}
    if free and _is_close(name, free[0]):
        edits[free[0]] = value
    yield Fault("unknown-option", name, {"value": name, "advice": advice}, edits=edits)


def _is_close(name: str, known: str) -> bool:
    return difflib.SequenceMatcher(None, name, known).ratio() >= 0.8


def values(view: View) -> Iterator[Fault]:
    """Yield values that options do not have."""
    for name, given in view.command.options.items():
        option = atc_options().get(name)
        if option is None or given.open or option.kind == "flag":
            continue
        if is_placeholder(given.value):
            words = {"option": name, "value": given.value, "meaning": option.says}
            yield Fault("placeholder", name, words)
        elif not given.value.strip():
            if not _is_required(view, option):
                words = {"option": name}
                yield Fault("empty-value", name, words, edits={name: None})
        elif name == "output_type":
            yield from _output_type(given.value)
        elif name == "input_format":
            yield from _input_format(view, option, given.value)
        elif not _fits(option, given.value):
            yield _bad_value(view, option, given.value)


def _fits(option: AtcOption, value: str) -> bool:
    if option.kind == "bools":
        return all(v in option.values for v in value.split(","))
    if option.kind == "int":
        low, high = option.bounds or (-(2**63), 2**63 - 1)
        return re.fullmatch(r"-?\d+", value) is not None and low <= int(value) <= high
    if option.form is not None:
        return re.fullmatch(option.form, value) is not None
    return not option.values or value in option.values


def _bad_value(view: View, option: AtcOption, value: str) -> Fault:
    """Return the fault of a value that the option does not have, with the one that was meant."""
    name = option.name
    known = _known_values(option)
    edits: dict[str, str | None] = {name: _meant(option, value)}
    other = {"precision_mode": "precision_mode_v2", "precision_mode_v2": "precision_mode"}.get(name)
    if other is not None and value in atc_options()[other].values and not view.has(other):
        edits = {name: None, other: value}
        advice = f"--{other}={value}" + (
            f", or --{name}={m}" if (m := _meant(option, value)) else ""
        )
        if option.meant.get(value):
            edits = {name: option.meant[value]}
    elif edits[name]:
        advice = f"--{name}={edits[name]}"
        if name == "precision_mode" and edits[name] == "allow_fp32_to_fp16":
            advice += ", or force_fp16"
    elif name == "framework":
        guess = SUFFIXES.get(Path(view.value("model") or "").suffix)
        edits = {name: guess or FILL[name]}
        advice = f"--framework={guess}" if guess else "--framework=5 for ONNX"
    else:
        default = f" ({option.default} is the default)" if option.default else ""
        advice = f"leave it out{default}"
    words = {"option": name, "value": value, "known": known, "advice": advice}
    return Fault("bad-value", name, words, option.code, edits)


def _known_values(option: AtcOption) -> str:
    if option.kind == "int":
        return "a whole number" + (f" from {option.bounds[0]} on" if option.bounds else "")
    if option.values:
        return "it takes " + ", ".join(list(option.values)[:9])
    return option.says


def _meant(option: AtcOption, value: str) -> str | None:
    if value in option.meant:
        return option.meant[value] or None
    by_lower = {v.lower(): v for v in option.values}
    if value.lower() in by_lower:
        return by_lower[value.lower()]
    if value.lower() in option.meant:
        return option.meant[value.lower()] or None
    if option.kind in ("bool", "switch"):
        yes = value.lower() in ("1", "true", "yes", "on", "enable", "y", "t")
        no = value.lower() in ("0", "false", "no", "off", "disable", "n", "f")
        words = ("true", "false") if option.kind == "bool" else ("1", "0")
        return words[0] if yes else words[1] if no else None
    close = difflib.get_close_matches(value.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[close[0]] if close else None


def _output_type(value: str) -> Iterator[Fault]:
    entries = [e for e in value.split(";") if e]
    types = [e.rpartition(":")[2].strip() for e in entries]
    known = atc_options()["output_type"].values
    bad = next((t for t in types if t not in known), None)
    if bad is not None:
        upper = value.upper() if bad.upper() in known and ":" not in value else None
        yield Fault("bad-output-type", "output_type", {"value": bad}, edits={"output_type": upper})
    unsure = next((t for t in types if t in known and t not in _SURE_TYPES), None)
    if unsure is not None:
        yield Fault("uncertain-output-type", "output_type", {"value": unsure})


def _input_format(view: View, option: AtcOption, value: str) -> Iterator[Fault]:
    name = "input_format"
    every = tuple(dict.fromkeys(v for vs in option.values_for.values() for v in vs))
    allowed = option.values_for.get(view.framework or "", every)
    aipp = next((n for n in (shape.IMAGE, "insert_op_conf") if view.has(n)), None)
    if value not in every:
        upper = value.upper()
        right = upper if upper in allowed else None
        advice = f"--{name}={right}" if right else "leave it out"
        words = {"option": name, "value": value, "known": f"it takes {', '.join(allowed)}",
                 "advice": advice}  # fmt: skip
        yield Fault("bad-value", name, words, "E10001", {name: right})
    elif value not in allowed:
        framework = FRAMEWORK_NAMES[view.framework or "onnx"]
        yield Fault("format-for-framework", name, {
            "value": value, "framework": framework, "known": ", ".join(allowed),
            "advice": allowed[0]}, edits={name: allowed[0]})  # fmt: skip
    elif aipp is not None and value not in ("NCHW", "NHWC") and not view.has(shape.DIMS):
        yield Fault("image-format", name, {"option": aipp, "value": value, "advice": "NCHW"},
                    edits={name: "NCHW"})  # fmt: skip


# ---------------------------------------------------------------------- what must be there


def _is_required(view: View, option: AtcOption) -> bool:
    if view.fragment or view.has("help"):
        return False
    if view.has("singleop"):
        return option.name in ("output", "soc_version")
    if not option.required:
        return False
    for other, values in option.required.items():
        value = view.mode if other == "mode" else view.value(other)
        if value not in values:
            return False
    return option.name != "weight" or view.mode in ("0", "3", "30")


def required(view: View) -> Iterator[Fault]:
    """Yield options that are missing."""
    if view.command.extra:
        return  # a variable may hold it
    for name, option in atc_options().items():
        given = view.command.options.get(name)
        if not _is_required(view, option) or (given is not None and (given.open or given.value)):
            continue
        model = view.value("model") or view.value("om") or ""
        fill: str | None = FILL.get(name)
        if name == "framework":
            fill = SUFFIXES.get(Path(model).suffix, fill)
        elif name == "output" and Path(model).suffix:
            fill = Path(model).stem
        elif name == "json" and model:
            fill = f"{Path(model).stem}.json"
        yield Fault("missing-option", name, {
            "option": name, "meaning": option.says, "advice": fill},
            option.required_code, {name: fill})  # fmt: skip


def needs(view: View) -> Iterator[Fault]:
    """Yield options that do nothing without another."""
    for name in view.command.options:
        option = atc_options().get(name)
        if option is None or not option.needs or view.command.extra:
            continue
        if any(_holds(view, other, values) for other, values in option.needs.items()):
            continue
        first, values = next(iter(option.needs.items()))
        if name == "modify_mixlist":
            edits: dict[str, str | None] = {"precision_mode": "allow_mix_precision"}
            if view.has("precision_mode_v2"):
                edits = {"precision_mode_v2": "mixed_float16"}
            yield Fault("mixlist-without-mix", name, edits=edits)
        elif name == "optypelist_for_implmode":
            mode = view.value(first) or ""
            base = mode.removesuffix("_for_all")
            right = base if base in values else values[0]
            advice = f"--{first}={right}, or --op_precision_mode with a file"
            there = f"{' or '.join(values)} but {mode}" if mode else "there"
            yield Fault("implmode-list-alone", name, {"there": there, "advice": advice},
                        edits={first: right})  # fmt: skip
        else:
            needs = f"--{first}" + (f"={' or '.join(values)}" if values else "")
            edits = {name: None}
            advice = f"leave it out, or add {needs}"
            if first == "op_compiler_cache_mode":
                edits = {first: "enable"}
                advice = f"add --{first}=enable"
            yield Fault("needs-other-option", name, {
                "option": name, "needs": needs, "advice": advice}, edits=edits)  # fmt: skip


def _holds(view: View, name: str, values: Sequence[str]) -> bool:
    if name == "mode":
        return view.mode in (*values, "")
    if not view.has(name):
        return False
    value = view.value(name)
    return not values or value is None or value in values
