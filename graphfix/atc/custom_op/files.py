"""The files to start a custom operator from: filled templates, and how they get to disk."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from graphfix.atc.custom_op.prototype import (
    GE_TYPES,
    Attribute,
    Prototype,
    shape_source,
    type_source,
)
from graphfix.atc.custom_op.readme import readme
from graphfix.errors import UsageError
from graphfix.support.target import CURRENT_SOCS, Target, socs

_TEMPLATES = Path(__file__).parent / "templates"
# msopgen's type of an attribute -> in C++: its type, OpAttrDef's function, the getter of the
# runtime, the field of an AttributeProto, and how one element is read
_CPP: dict[str, tuple[str, str, str, str, str]] = {
    "int": ("int64_t", "Int", "GetInt", "i", "ToInt"),
    "float": ("float", "Float", "GetFloat", "f", "ToFloat"),
    "string": ("std::string", "String", "GetStr", "s", ""),
    "list_int": ("std::vector<int64_t>", "ListInt", "GetListInt", "ints", "ToInt"),
    "list_float": ("std::vector<float>", "ListFloat", "GetListFloat", "floats", "ToFloat"),
}


def files_of(prototype: Prototype, target: Target, model: str) -> dict[str, str]:
    """Return the files' texts by their path in the folder.

    Args:
        prototype: the operator.
        target: the release whose steps the README tells, and at most one chip.
        model: the name of the model's file, for the README.
    """
    file = prototype.file_name
    nodes = f"{len(prototype.nodes)} node{'s' * (len(prototype.nodes) != 1)}"
    words = {
        "name": prototype.name,
        "file": file,
        "macro": file.upper(),
        "release": target.release.name,
        "nodes": nodes,
    }
    return {
        f"{file}.json": _json(prototype.to_json()),
        "occurrences.json": _json(
            {"op": f"{prototype.domain}::{prototype.op_type}", "opset": prototype.opset,
             "nodes": list(prototype.nodes)}
        ),
        f"op_host/{file}.cpp": _fill("host.cpp", words, _host(prototype, target)),
        f"op_host/{file}_tiling.h": _fill("tiling.h", words, {"fields": _fields(prototype)}),
        f"op_kernel/{file}.cpp": _fill("kernel.cpp", words, _kernel(prototype)),
        f"framework/onnx_plugin/{file}_plugin.cc": _fill("plugin.cc", words, _plugin(prototype)),
        "README.md": _fill("README.md", words, readme(prototype, target, model)),
    }  # fmt: skip


def _json(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _fill(template: str, words: Mapping[str, str], more: Mapping[str, str]) -> str:
    text = (_TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(words, **more)


def _quoted(text: str) -> str:
    """Return a string literal of C++, which escapes as JSON does."""
    return json.dumps(text)


def _literal(attribute: Attribute, value: Any) -> str:
    if attribute.type == "string":
        return _quoted(value)
    if isinstance(value, list):
        return "{" + ", ".join(_number(v) for v in value) + "}"
    return _number(value)


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    text = repr(value)
    if text in ("inf", "-inf", "nan"):
        return {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}[text]
    return f"{text}f"


def _expressed(prototype: Prototype) -> list[Attribute]:
    return [a for a in prototype.attributes if a.type is not None]


def _scalars(prototype: Prototype) -> list[Attribute]:
    return [a for a in prototype.attributes if a.type in ("int", "float")]


def _lines(depth: int, lines: list[str]) -> str:
    return "\n".join(" " * depth + line if line and line[0] != "#" else line for line in lines)


# ---------------------------------------------------------------------- the host's side


def _host(prototype: Prototype, target: Target) -> dict[str, str]:
    return {
        "tiling": _lines(4, _tiling(prototype)),
        "shapes": _lines(4, _shapes(prototype)),
        "types": _lines(4, _types(prototype)),
        "definition": _lines(8, _definition(prototype)),
        "chips": _lines(8, _chips(target)),
    }


def _tiling(prototype: Prototype) -> list[str]:
    lines = [
        "// TODO: what the kernel must know; for now the number of elements of the first output",
        "tiling.set_elementCount(",
        "    static_cast<uint32_t>(context->GetOutputShape(0)->GetOriginShape().GetShapeSize()));",
    ]
    expressed = _expressed(prototype)
    if _scalars(prototype):
        lines.append("const gert::RuntimeAttrs* attrs = context->GetAttrs();")
    for index, attribute in enumerate(expressed):
        getter = _CPP[attribute.type or ""][2]
        if attribute in _scalars(prototype):
            lines.append(f"tiling.set_{attribute.name}(*attrs->{getter}({index}));")
        else:
            lines.append(f"// TODO: {attribute.name} is context->GetAttrs()->{getter}({index})")
    return lines


def _fields(prototype: Prototype) -> str:
    lines = ["TILING_DATA_FIELD_DEF(uint32_t, elementCount);"]
    lines += [f"TILING_DATA_FIELD_DEF({_CPP[a.type or ''][0]}, {a.name});"
              for a in _scalars(prototype)]  # fmt: skip
    return _lines(4, lines)


def _shapes(prototype: Prototype) -> list[str]:
    lines = []
    for index, output in enumerate(prototype.outputs):
        source = shape_source(prototype, index)
        if source is not None:
            of = prototype.inputs[source].name
            lines += [
                f"// {output.name} has the shape of {of} in all nodes of the model",
                f"*context->GetOutputShape({index}) = *context->GetInputShape({source});",
            ]
            continue
        lines += _unwritten(
            prototype, f"SHAPE_{index}",
            f"write the shape of {output.name}: context->GetOutputShape({index})",
        )  # fmt: skip
    return lines


def _types(prototype: Prototype) -> list[str]:
    lines = []
    for index, output in enumerate(prototype.outputs):
        source = type_source(prototype, index)
        if output.assumed:
            lines.append(f"// TODO: no node tells the type of {output.name}; this is assumed")
        if source is not None:
            given = f"context->GetInputDataType({source})"
        elif len(set(output.dtypes)) == 1:
            given = f"ge::{GE_TYPES[output.dtypes[0]]}"
        else:
            lines += _unwritten(
                prototype, f"TYPE_{index}",
                f"write the type of {output.name}: context->SetOutputDataType({index}, ...)",
            )  # fmt: skip
            continue
        lines.append(f"context->SetOutputDataType({index}, {given});")
    return lines


def _unwritten(prototype: Prototype, what: str, says: str) -> list[str]:
    """Return lines that do not compile until somebody has replaced them."""
    macro = f"{prototype.file_name.upper()}_{what}_WRITTEN"
    text = f"{prototype.name}: {says}, then remove these three lines"
    return [f"#ifndef {macro}", f"#error {_quoted(text)}", "#endif"]


def _definition(prototype: Prototype) -> list[str]:
    lines = []
    for way, params in (("Input", prototype.inputs), ("Output", prototype.outputs)):
        for param in params:
            types = ", ".join(f"ge::{GE_TYPES[d]}" for d in param.dtypes)
            formats = ", ".join(["ge::FORMAT_ND"] * len(param.dtypes))
            lines += [
                f"this->{way}({_quoted(param.name)})",
                f"    .ParamType({param.kind.upper()})",
                f"    .DataType({{{types}}})",
                f"    .Format({{{formats}}});",
            ]
    for attribute in _expressed(prototype):
        function = _CPP[attribute.type or ""][1]
        default = "" if attribute.required else _literal(attribute, attribute.default)
        kind = "REQUIRED" if attribute.required else "OPTIONAL"
        if attribute.assumed:
            lines.append("// TODO: some nodes leave it out, and nothing tells its default")
        lines.append(
            f"this->Attr({_quoted(attribute.name)}).AttrType({kind}).{function}({default});"
        )
    return lines


def _chips(target: Target) -> list[str]:
    chosen = target.socs or tuple(socs()[name] for name in CURRENT_SOCS)
    lines = [f"this->AICore().AddConfig({_quoted(soc.family)});" for soc in chosen]
    if not target.socs:
        lines.insert(0, "// TODO: keep the chips that you build for")
    return lines


# ---------------------------------------------------------------------- the kernel


def _kernel(prototype: Prototype) -> dict[str, str]:
    params = [*prototype.inputs, *prototype.outputs]
    scalars = _scalars(prototype)
    bindings, members = [], []
    for param in params:
        dtype, tensor = f"DTYPE_{param.name.upper()}", f"{param.name}Gm"
        if param.kind == "dynamic":
            bindings.append(f"// TODO: {param.name} is a list: AscendC::ListTensorDesc reads it")
            bindings.append(f"(void){param.name};")
            continue
        if param.kind == "optional":
            bindings.append(f"// TODO: {param.name} is optional: mind the nodes that leave it out")
        bindings.append(
            f"{tensor}.SetGlobalBuffer(reinterpret_cast<__gm__ {dtype}*>({param.name}));"
        )
        members.append(f"AscendC::GlobalTensor<{dtype}> {tensor};")
    kept = [f"{a.name}Attr = {a.name}Given;" for a in scalars]
    members += [f"{_CPP[a.type or ''][0]} {a.name}Attr = 0;" for a in scalars]
    return {
        "init_params": ", ".join(f"GM_ADDR {p.name}" for p in params),
        "attr_params": "".join(f", {_CPP[a.type or ''][0]} {a.name}Given" for a in scalars),
        "kept": "".join(f"        {line}\n" for line in kept),
        "bindings": _lines(8, bindings),
        "members": _lines(4, members),
        "kernel_params": ", ".join(f"GM_ADDR {p.name}" for p in params),
        "init_arguments": ", ".join(p.name for p in params),
        "attr_arguments": "".join(f", tilingData.{a.name}" for a in scalars),
    }


# ---------------------------------------------------------------------- the plugin


def _plugin(prototype: Prototype) -> dict[str, str]:
    declarations, reading, writing = [], [], []
    for attribute in prototype.attributes:
        name, given = f"{attribute.name}Attr", _quoted(attribute.onnx_name)
        if attribute.type is None:
            declarations.append(
                f"// TODO: {given} is a tensor, a graph or texts: pass it otherwise, see README.md"
            )
            continue
        cpp, _, _, field, read = _CPP[attribute.type]
        if attribute.required:
            declarations.append(f"bool {attribute.name}Seen = false;")
        elif attribute.assumed:
            declarations.append(f"// TODO: nothing tells the default of {given}")
        declarations.append(f"{cpp} {name} = {_literal(attribute, attribute.default)};")
        reading += [f'if (name == {given} && attr.contains("{field}")) {{']
        if attribute.type.startswith("list"):
            reading += [
                f"    {name}.clear();",
                f'    for (const Json& element : attr["{field}"]) {{',
                f"        {name}.push_back({read}(element));",
                "    }",
            ]
        elif read:
            reading.append(f'    {name} = {read}(attr["{field}"]);')
        else:
            reading.append(f'    {name} = attr["{field}"].get<std::string>();')
        if attribute.required:
            reading.append(f"    {attribute.name}Seen = true;")
            writing += [f"if (!{attribute.name}Seen) {{", "    return FAILED;", "}"]
        reading.append("}")
        value = f"ge::AscendString({name}.c_str())" if attribute.type == "string" else name
        writing.append(f"op_dest.SetAttr({_quoted(attribute.name)}, {value});")
    for index, param in enumerate(prototype.inputs):
        if param.kind == "dynamic":
            writing += [
                "// one tensor for each input of the node from here on",
                f"op_dest.DynamicInputRegister({_quoted(param.name)}, "
                f"op_src.GetInputsSize() - {index});",
            ]
    origins = [f"ge::AscendString({_quoted(origin)})" for origin in prototype.origins]
    return {
        "declarations": _lines(4, declarations),
        "reading": _lines(12, reading or ["(void)name;"]),
        "writing": _lines(4, writing or ["(void)op_dest;"]),
        "origins": (",\n" + " " * 19).join(origins),
    }


# ---------------------------------------------------------------------- to disk


def write_files(files: Mapping[str, str], folder: Path, *, force: bool = False) -> None:
    """Write the files into a folder, all or none; other files in it stay.

    Args:
        files: texts by path.
        folder: made when it is not there.
        force: write into a folder that is not empty, over files of the same names.

    Raises:
        UsageError: the folder is not empty, or it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file; give a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"-o {folder}: is not empty. Give another folder, or --force to write over the files "
            "that graphfix made; your changes to them would be lost."
        )
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"-o {folder}: there is no folder {folder.absolute().parent}.")
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.absolute().name}.", dir=folder.absolute().parent
        ) as name:
            made = Path(name) / "made"
            for path, text in files.items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8", newline="\n")
            if not folder.exists() or not any(folder.iterdir()):
                if folder.exists():
                    folder.rmdir()
                made.chmod(0o755)
                made.rename(folder)
            else:
                for path in files:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (made / path).replace(folder / path)
    except OSError as error:
        raise UsageError(f"-o {folder}: cannot be written ({error.strerror}).") from None
