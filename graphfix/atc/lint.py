"""Checks of an atc command: every mistake that can be seen without running atc, and its mending."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphfix.atc import shapes as shape
from graphfix.atc.command import PLACEHOLDER, AtcCommand, Fault, read
from graphfix.atc.options import (
    EFFECTS,
    FRAMEWORK_NAMES,
    FRAMEWORKS,
    AtcOption,
    Mistake,
    atc_options,
    begun_by,
    mistakes,
    near_options,
    near_values,
)
from graphfix.support.target import CURRENT_SOCS, Soc, socs

if TYPE_CHECKING:
    from graphfix.comparison.runtimes import Port

_ROUNDS = 60  # more than any command has mistakes
_SUFFIXES = {".onnx": "5", ".pb": "3", ".prototxt": "0", ".air": "1"}
_FOREIGN = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")
_FILL = {"soc_version": "<SOC>", "model": "<MODEL>", "framework": "<FRAMEWORK>", "output": "<NAME>",
         "weight": "<WEIGHTS>", "om": "<FILE>", "json": "<FILE>"}  # fmt: skip
_STATUS = {
    "deprecated": "deprecated",
    "undocumented": "in no document; the source of 2026 still reads it",
}
_SURE_TYPES = ("FP32", "FP16", "UINT8", "INT8", "HIF8", "HIF4", "FP8E5M2", "FP8E4M3FN")
_NO_BF16 = ("ascend310", "ascend310p", "ascend910")
_SAYS_FP32 = re.compile(r"fp32|float32|single precision|full precision|单精度|全精度", re.I)
_SAYS_FP16 = re.compile(r"fp16|float16|half|半精度|混合", re.I)
_SAYS_CUSTOM = re.compile(r"custom[ _-]?op|自定义算子", re.I)


@dataclass(frozen=True)
class ModelFacts:
    """What lint asks of a model: its inputs, and the names of outputs and of nodes."""

    ports: Sequence[Port]
    outputs: frozenset[str]
    nodes: frozenset[str]


@dataclass(frozen=True)
class Finding:
    """A mistake in a command, in words."""

    mistake: Mistake
    option: str | None
    says: str
    right: str
    code: str | None
    line: int

    @property
    def effect(self) -> str:
        """rejected, misread, undocumented or note."""
        return self.mistake.effect

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the report."""
        return {
            "id": self.mistake.id,
            "effect": self.effect,
            "option": self.option,
            "error_code": self.code,
            "line": self.line or None,
            "says": self.says,
            "right": self.right,
            "source": self.mistake.source,
            "certainty": self.mistake.certainty,
        }


@dataclass(frozen=True)
class Linted:
    """A command, what is wrong with it, and the command as it should be.

    `to_fill` are options of the corrected command that only the user can fill in.
    """

    command: AtcCommand
    findings: tuple[Finding, ...]
    corrected: AtcCommand
    to_fill: tuple[str, ...]
    model_read: bool

    @property
    def mistakes(self) -> list[Finding]:
        """The findings that are more than a note."""
        return [f for f in self.findings if f.effect != "note"]


def lint(text: str, folder: Path) -> list[Linted]:
    """Check every atc command of a shell text.

    Args:
        text: a command, a script, or the options of a command alone.
        folder: where its relative paths begin; a model that lies there is read.
    """
    return [lint_command(command, folder) for command in read(text)]


def lint_command(command: AtcCommand, folder: Path | None = None) -> Linted:
    """Check one command, mend it, and check again until nothing is left to mend."""
    facts = None
    found: dict[tuple[str, str | None, str], Finding] = {}
    current = command
    for round_ in range(_ROUNDS):
        if round_ == 0 or current.value("model") != command.value("model"):
            facts = model_facts(current, folder)
        faults = [*current.faults, *check(current, facts, folder)]
        for fault in faults:
            finding = describe(fault)
            # a later round only adds what an earlier one hid, not the same in other words
            same = [k for k in found if k[:2] == (fault.id, fault.option)]
            if round_ == 0 or not (same or finding.effect == "note"):
                found.setdefault((fault.id, fault.option, finding.says), finding)
        current = replace(current, faults=tuple(f for f in current.faults if f.edits))
        mend = next((f for f in faults if f.edits), None)
        if mend is None:
            break
        current = replace(current.edited(mend.edits),
                          faults=tuple(f for f in current.faults if f is not mend))  # fmt: skip
    ordered = sorted(found.values(), key=lambda f: (EFFECTS.index(f.effect), f.line))
    ordered = [f for f in ordered if f.mistake.id != "placeholder" or f.option in command.options]
    to_fill = tuple(n for n, g in current.options.items() if _is_placeholder(g.value))
    return Linted(command, tuple(ordered), current, to_fill, facts is not None)


def describe(fault: Fault) -> Finding:
    """Return a fault in words."""
    mistake = mistakes()[fault.id]
    code = fault.code or (mistake.codes[0] if len(mistake.codes) == 1 else None)
    return Finding(
        mistake,
        fault.option,
        mistake.says.format_map(fault.words),
        mistake.right.format_map(fault.words),
        code,
        fault.line,
    )


def model_facts(command: AtcCommand, folder: Path | None) -> ModelFacts | None:
    """Return what the model of a command says, None when it is no ONNX file that can be read."""
    name = command.value("model")
    if folder is None or not name or command.framework not in ("onnx", None):
        return None
    path = folder / name
    if path.suffix != ".onnx" or not path.is_file():
        return None
    from graphfix.comparison.runtimes import ports_of
    from graphfix.errors import GraphfixError
    from graphfix.graph import load

    try:
        model = load(path)
    except GraphfixError:
        return None
    return ModelFacts(
        ports_of(model),
        frozenset(o.name for o in model.proto.graph.output),
        frozenset(n.name for n in model.graph.ordered() if n.name),
    )


def check(
    command: AtcCommand, facts: ModelFacts | None = None, folder: Path | None = None
) -> Iterator[Fault]:
    """Yield the mistakes of a command: names and values first, then what contradicts what."""
    view = _View(command, facts, folder)
    for part in (_names, _values, _required, _framework_and_files, _chip, _exclusions, _needs,
                 _claims, _shapes, _outputs):  # fmt: skip
        for fault in part(view):
            given = command.options.get(fault.option or "")
            line = given.line if given is not None else command.line
            yield replace(fault, line=fault.line or line)


def _is_placeholder(value: str) -> bool:
    return PLACEHOLDER.search(value) is not None or re.search(r"[Xx]{3}", value) is not None


class _View:
    """A command with what follows from it."""

    def __init__(self, command: AtcCommand, facts: ModelFacts | None, folder: Path | None) -> None:
        self.command, self.facts, self.folder = command, facts, folder
        self.fragment = not command.lead  # options alone: nothing is missing
        self.framework = command.framework
        self.mode = command.mode
        self.soc: Soc | None = socs().get(self.value("soc_version") or "")

    def value(self, name: str) -> str | None:
        """Return a value that is known: no variable, no placeholder."""
        value = self.command.value(name)
        return None if value is None or _is_placeholder(value) else value

    def has(self, name: str) -> bool:
        return name in self.command.options


# ---------------------------------------------------------------------- names and values


def _names(view: _View) -> Iterator[Fault]:
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


def _unknown(view: _View, name: str, value: str) -> Iterator[Fault]:
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
    import difflib

    return difflib.SequenceMatcher(None, name, known).ratio() >= 0.8


def _values(view: _View) -> Iterator[Fault]:
    for name, given in view.command.options.items():
        option = atc_options().get(name)
        if option is None or given.open or option.kind == "flag":
            continue
        if _is_placeholder(given.value):
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


def _bad_value(view: _View, option: AtcOption, value: str) -> Fault:
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
        guess = _SUFFIXES.get(Path(view.value("model") or "").suffix)
        edits = {name: guess or _FILL[name]}
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
    import difflib

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


def _input_format(view: _View, option: AtcOption, value: str) -> Iterator[Fault]:
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


def _is_required(view: _View, option: AtcOption) -> bool:
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


def _required(view: _View) -> Iterator[Fault]:
    if view.command.extra:
        return  # a variable may hold it
    for name, option in atc_options().items():
        given = view.command.options.get(name)
        if not _is_required(view, option) or (given is not None and (given.open or given.value)):
            continue
        model = view.value("model") or view.value("om") or ""
        fill: str | None = _FILL.get(name)
        if name == "framework":
            fill = _SUFFIXES.get(Path(model).suffix, fill)
        elif name == "output" and model:
            fill = Path(model).stem
        elif name == "json" and model:
            fill = f"{Path(model).stem}.json"
        yield Fault("missing-option", name, {
            "option": name, "meaning": option.says, "advice": fill},
            option.required_code, {name: fill})  # fmt: skip


def _needs(view: _View) -> Iterator[Fault]:
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


def _holds(view: _View, name: str, values: Sequence[str]) -> bool:
    if name == "mode":
        return view.mode in (*values, "")
    if not view.has(name):
        return False
    value = view.value(name)
    return not values or value is None or value in values


# ---------------------------------------------------------------------- framework, files, chip


def _framework_and_files(view: _View) -> Iterator[Fault]:
    for name in view.command.options:
        option = atc_options().get(name)
        if option and view.framework and view.framework not in option.frameworks:
            known = " and ".join(FRAMEWORK_NAMES[f] for f in option.frameworks)
            yield Fault("other-framework", name, {
                "option": name, "known": known, "framework": FRAMEWORK_NAMES[view.framework]},
                edits={name: None})  # fmt: skip
    model = view.value("model")
    suffix = Path(model).suffix if model else ""
    number = view.value("framework")
    if model and suffix in _FOREIGN:
        advice = f"{model.removesuffix(suffix)}.onnx"
        yield Fault("pytorch-file", "model", {"value": model, "advice": advice},
                    edits={"model": advice, "framework": "5"})  # fmt: skip
    elif model and suffix in _SUFFIXES and number in FRAMEWORKS:
        right = _SUFFIXES[suffix]
        if number != right and not (suffix == ".pb" and number == "5"):
            yield Fault("framework-of-file", "framework", {
                "value": model, "known": FRAMEWORK_NAMES[FRAMEWORKS[right]], "number": number,
                "framework": FRAMEWORK_NAMES[FRAMEWORKS[number]], "advice": right},
                edits={"framework": right})  # fmt: skip
    output = view.value("output")
    if output and output.endswith(".om"):
        advice = output.removesuffix(".om")
        yield Fault("output-suffix", "output", {"value": output, "advice": advice},
                    edits={"output": advice})  # fmt: skip
    elif output and output.endswith("/") and not view.has("singleop"):
        advice = output + (Path(model).stem if model else "model")
        yield Fault("output-folder", "output", {"value": output, "advice": advice},
                    edits={"output": advice})  # fmt: skip


def _chip(view: _View) -> Iterator[Fault]:
    name = view.value("soc_version")
    if name is None:
        return
    soc = view.soc
    if soc is None:
        yield from _unknown_chip(name)
        return
    if name == "Ascend910B":
        yield Fault("soc-first-910", "soc_version", edits={"soc_version": "Ascend910B3"})
    nano = soc.family == "ascend035"
    if view.mode and nano != (view.mode == "30") and view.mode in ("0", "30"):
        advice = "30" if nano else "0"
        words = {"value": name, "mode": view.mode, "advice": advice}
        yield Fault("mode-for-soc", "mode", words, edits={"mode": advice})
    for option_name in view.command.options:
        option = atc_options().get(option_name)
        if option and soc.family in option.not_on:
            yield Fault("unsupported-option", option_name, {"option": option_name, "soc": name},
                        edits={} if option_name in ("json", *shape.PROFILES) else
                        {option_name: None})  # fmt: skip
    yield from _narrow_floats(view, soc)


def _unknown_chip(name: str) -> Iterator[Fault]:
    if name.startswith("Ascend950"):
        return  # a name of the releases of 2026, which no table here lists
    known = socs()
    same = next((s for s in known if s.lower() == name.lower()), None)
    if same is None:
        family = [s.name for s in known.values() if s.family == name.lower()]
        if family:
            advice = next((s for s in CURRENT_SOCS if s in family), family[0])
            yield Fault("soc-family", "soc_version", {
                "value": name, "known": ", ".join(family[:7]), "advice": advice},
                edits={"soc_version": advice})  # fmt: skip
            return
    option = replace(atc_options()["soc_version"], values=dict.fromkeys(known, ""))
    hint = f"--soc_version={same}; " if same else near_values(option, name)
    yield Fault("unknown-soc", "soc_version", {
        "value": name, "advice": f"{hint} ".lstrip()},
        edits={"soc_version": same or _FILL["soc_version"]})  # fmt: skip


def _narrow_floats(view: _View, soc: Soc) -> Iterator[Fault]:
    instead = {
        "allow_mix_precision_bf16": "allow_mix_precision",
        "allow_fp32_to_bf16": "allow_fp32_to_fp16",
        "mixed_bfloat16": "mixed_float16",
        "mixed_hif8": "mixed_float16",
        "cube_hif8": "fp16",
    }
    for name in ("precision_mode", "precision_mode_v2"):
        value = view.value(name) or ""
        kind = "hifloat8" if "hif8" in value else "bfloat16"
        lacks = soc.family in _NO_BF16 or (
            kind == "hifloat8" and soc.family in ("ascend310b", "ascend910b", "ascend910_93")
        )
        if value in instead and lacks:
            yield Fault("bfloat16-on-chip", name, {
                "value": value, "soc": soc.name, "kind": kind, "advice": instead[value]},
                edits={name: instead[value]})  # fmt: skip


# ---------------------------------------------------------------------- contradictions


def _exclusions(view: _View) -> Iterator[Fault]:
    options = view.command.options
    kinds = [n for n in options if n in (*shape.PROFILES, "input_shape_range")]
    if len(kinds) > 1:
        words = {"value": " and ".join(f"--{k}" for k in kinds)}
        yield Fault("two-profile-options", kinds[0], words, edits=_one_kind(view, kinds))
    seen = set()
    for name in options:
        option = atc_options().get(name)
        for other, code in option.excludes.items() if option else ():
            pair = frozenset((name, other))
            if other not in options or pair in seen or pair <= set(kinds):
                continue
            seen.add(pair)
            if pair == {"precision_mode", "precision_mode_v2"}:
                yield Fault("two-precision-modes", name, edits={"precision_mode": None})
            elif pair == {"insert_op_conf", shape.DIMS}:
                yield Fault("aipp-with-dims", "insert_op_conf", edits={"insert_op_conf": None})
            else:
                first, second = sorted(pair, key=_keep)
                yield Fault("exclusive-options", name, {"option": first, "value": second},
                            code or None, {second: None})  # fmt: skip


def _keep(name: str) -> tuple[bool, str]:
    status = atc_options()[name].status
    return (status != "active", name)


def _one_kind(view: _View, kinds: Sequence[str]) -> dict[str, str | None]:
    """Return how several kinds of profiles become one."""
    batch, image = view.value(shape.BATCH), view.value(shape.IMAGE)
    found = shape.read_shapes(view.value("input_shape") or "")[0]
    if set(kinds) == {shape.BATCH, shape.IMAGE} and batch and image and found:
        sizes = shape.read_profiles(shape.BATCH, batch)[0]
        images = shape.read_profiles(shape.IMAGE, image)[0]
        axes = [i for _, i in found.open_axes()]
        if sizes and images and len(axes) == 3 and axes[0] == 0:
            rows = [b + i for b in sizes for i in images]
            return {
                shape.DIMS: shape.written(shape.DIMS, rows),
                shape.BATCH: None,
                shape.IMAGE: None,
                "input_format": "ND",
            }
    keep = shape.DIMS if shape.DIMS in kinds else kinds[0]
    return {kind: None for kind in kinds if kind != keep}


def _claims(view: _View) -> Iterator[Fault]:
    """Yield what is used for something that it is not."""
    said = view.command.said
    for name, value in (("precision_mode", "force_fp16"), ("precision_mode_v2", "fp16")):
        if view.value(name) == value and _SAYS_FP32.search(said) and not _SAYS_FP16.search(said):
            right = "must_keep_origin_dtype" if name == "precision_mode" else "origin"
            yield Fault("fp16-for-fp32", name, {"value": f"--{name}={value}"}, edits={name: right})
    types = view.value("optypelist_for_implmode")
    if types is not None and not re.fullmatch(r"[A-Za-z]\w*(,\s*[A-Za-z]\w*)*,?", types):
        yield Fault("implmode-list-value", "optypelist_for_implmode", {"value": types},
                    edits={"optypelist_for_implmode": None})  # fmt: skip
    aipp = view.value("insert_op_conf")
    if aipp and (_SAYS_CUSTOM.search(aipp) or _SAYS_CUSTOM.search(said) or _no_aipp(view, aipp)):
        yield Fault("aipp-for-custom-op", "insert_op_conf", {"value": aipp},
                    edits={"insert_op_conf": None})  # fmt: skip


def _no_aipp(view: _View, name: str) -> bool:
    path = (view.folder or Path()) / name
    if view.folder is None or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"aipp_op" not in file.read(2**16)


# ---------------------------------------------------------------------- shapes and profiles


def _shapes(view: _View) -> Iterator[Fault]:
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


def _profiles(view: _View, option: str, shapes: shape.Shapes) -> Iterator[Fault]:
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
    yield from shape.profile_faults(option, rows, shapes, limit, name)
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


def _no_shape(view: _View, option: str) -> Fault:
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


def _dynamic(view: _View, shapes: shape.Shapes) -> Iterator[Fault]:
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


def _shape_range(view: _View) -> Iterator[Fault]:
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


def _against_model(view: _View, shapes: shape.Shapes, kinds: Sequence[str]) -> Iterator[Fault]:
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


def _unknown_input(
    view: _View, shapes: shape.Shapes, name: str, ports: Mapping[str, Port]
) -> Fault:
    import difflib

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


def _unlisted(view: _View, shapes: shape.Shapes, kinds: Sequence[str]) -> Iterator[Fault]:
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


def _outputs(view: _View) -> Iterator[Fault]:
    value = view.value("out_nodes")
    if not value or view.framework not in ("onnx", None):
        return
    entries = [e.strip() for e in value.split(";") if e.strip()]
    for entry in entries:
        name, colon, index = entry.rpartition(":")
        is_node = bool(colon) and index.isdigit()
        facts = view.facts
        if facts is None:
            if not is_node and view.framework == "onnx":
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
