"""graphfix atc custom-op MODEL --op Domain::Type: the files to implement an operator for CANN."""

from __future__ import annotations

import argparse
from pathlib import Path

from graphfix.cli.options import shapes_of
from graphfix.errors import UsageError
from graphfix.support import Tables, Target, releases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="an .onnx file that holds the operator")
    add("--op", required=True, metavar="DOMAIN::TYPE",
        help="the operator; the domain of ONNX's own is ai.onnx")  # fmt: skip
    add("-o", "--output", type=Path, metavar="DIR",
        help="the folder to make (default: named after the operator)")  # fmt: skip
    add("--soc", default="", metavar="S", help="the chip to build for (graphfix socs)")
    add("--cann", metavar="RELEASE", help=f"CANN release: {', '.join(releases())}")
    add("--shape", action="append", default=[], metavar="NAME=D,D,...",
        help="dims of an input of the model, to know the operator's; may be repeated")  # fmt: skip
    add("--name", metavar="NAME", help="the type in GE (default: the operator's, with Custom)")
    add("--variadic", action="store_true", help="all inputs are one list of tensors")
    add("--force", action="store_true", help="write into a folder that is not empty")


def run(options: argparse.Namespace) -> int:
    """Write the files, print what the model said, return the exit code."""
    from graphfix.atc.custom_op import files_of, prototype_of, write_files
    from graphfix.graph import infer, load

    target = Target.of([options.soc] if options.soc else [], options.cann)
    if "," in options.soc:
        raise UsageError("--soc: msopgen makes a project for one chip; give one.")
    model = load(options.model)
    infer(model, shapes_of(options.shape))
    found = prototype_of(
        model, options.op, target, Tables(), name=options.name, variadic=options.variadic
    )
    folder = options.output if options.output is not None else Path(found.file_name)
    files = files_of(found, target, Path(options.model).name)
    write_files(files, folder, force=options.force)
    nodes = f"{len(found.nodes)} node{'s' * (len(found.nodes) != 1)}"
    print(f"{options.op}   {nodes}, opset {found.opset} -> {found.name}")
    for way, params in (("input", found.inputs), ("output", found.outputs)):
        for param in params:
            types = ", ".join(dict.fromkeys(param.dtypes))
            doubt = " (assumed)" if param.assumed else ""
            print(f"  {way:<9}  {param.name}: {types}{doubt}, {param.kind}")
    for attribute in found.attributes:
        kind = "required" if attribute.required else "optional"
        what = f"{attribute.type}, {kind}" if attribute.type else "not expressible in CANN"
        print(f"  attribute  {attribute.name}: {what}")
    print(f"{folder}/   {len(files)} files; nothing was built. Next: {folder / 'README.md'}")
    return 0
