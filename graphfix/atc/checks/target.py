"""Framework, files and chip; options that exclude each other; options used for something else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphfix.atc import shapes as shape
from graphfix.atc.checks.view import FILL, SUFFIXES, View
from graphfix.atc.command import Fault
from graphfix.atc.options import (
    FRAMEWORK_NAMES,
    FRAMEWORKS,
    atc_options,
    near_values,
)
from graphfix.support.target import CURRENT_SOCS, Soc, socs

if TYPE_CHECKING:
    pass

_FOREIGN = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")
_NO_BF16 = ("ascend310", "ascend310p", "ascend910")
_SAYS_FP32 = re.compile(r"fp32|float32|single precision|full precision|单精度|全精度", re.I)
_SAYS_FP16 = re.compile(r"fp16|float16|half|半精度|混合", re.I)
_SAYS_CUSTOM = re.compile(r"custom[ _-]?op|自定义算子", re.I)


# ---------------------------------------------------------------------- framework, files, chip


def framework_and_files(view: View) -> Iterator[Fault]:
    """Yield what does not go with the framework, and paths that mislead."""
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
    elif model and suffix in SUFFIXES and number in FRAMEWORKS:
        right = SUFFIXES[suffix]
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


def chip(view: View) -> Iterator[Fault]:
    """Yield what the chip does not take."""
    given = view.command.options.get("soc_version")
    meant = (
        re.fullmatch(r"\$\{?(\w+)\}?", given.value) if given is not None and given.open else None
    )
    if meant and meant.group(1) in socs():
        words = {"value": f"${meant.group(1)}", "advice": meant.group(1)}
        yield Fault(
            "dollar-before-chip", "soc_version", words, edits={"soc_version": words["advice"]}
        )
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
            edits: dict[str, str | None] = {option_name: None}
            if option_name == "json":
                edits = {"soc_version": None}  # JSON is made for no chip
            elif option_name == "weight" and view.framework == "caffe":
                edits = {}  # Caffe models are not for this chip
            words = {"option": option_name, "soc": name}
            yield Fault("unsupported-option", option_name, words, edits=edits)
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
        edits={"soc_version": same or FILL["soc_version"]})  # fmt: skip


def _narrow_floats(view: View, soc: Soc) -> Iterator[Fault]:
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


def exclusions(view: View) -> Iterator[Fault]:
    """Yield options that exclude each other."""
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


def _one_kind(view: View, kinds: Sequence[str]) -> dict[str, str | None]:
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


def claims(view: View) -> Iterator[Fault]:
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


def _no_aipp(view: View, name: str) -> bool:
    path = (view.folder or Path()) / name
    if view.folder is None or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"aipp_op" not in file.read(2**16)
