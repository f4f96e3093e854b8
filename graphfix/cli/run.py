"""graphfix run SPEC_OR_MODEL --soc S: export, check, fix, and ATC or a bundle; one report."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphfix.cli import convert as conversion
from graphfix.cli.options import write_output
from graphfix.errors import UsageError
from graphfix.frameworks.request import EXPORTERS

if TYPE_CHECKING:
    from graphfix.atc.prepare import Prepared, Wish
    from graphfix.graph import Model

# of `graphfix export`, passed on as they are
_OF_EXPORT = ("--input", "--dynamic", "--output-names", "--exporter", "--trust")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("model", metavar="SPEC_OR_MODEL",
        help="an .onnx file, or what `graphfix export` takes: package.module:factory, a "
        "TorchScript or ExportedProgram file")  # fmt: skip
    add("--input", action="append", default=[], metavar="NAME=DTYPE[D,D]", help="of the export")
    add("--dynamic", action="append", default=[], metavar="NAME:AXIS=SYMBOL", help="of the export")
    add("--output-names", default="", metavar="A,B", help="of the export")
    add("--exporter", choices=("auto", *EXPORTERS), help="of the export")
    add("--trust", action="store_true", help="of the export: load pickles")
    conversion.add_conversion(parser)
    add("--report", type=Path, metavar="FILE", help="write one JSON report of all stages there")


@dataclass
class Clock:
    """The stages and how long each took, in seconds."""

    stages: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that fails is not listed."""
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 2)
        self.stages.append({"stage": name, "seconds": seconds})

    @property
    def line(self) -> str:
        """All stages in one line."""
        times = ", ".join(f"{s['stage']} {s['seconds']:.1f} s" for s in self.stages)
        total = sum(s["seconds"] for s in self.stages)
        return f"{times}; {total:.1f} s in all"


def run(options: argparse.Namespace) -> int:
    """Walk the whole road, print each stage, return the exit code."""
    conversion.check_options(options)
    clock = Clock()
    spec, path, exported = options.model, Path(options.model), None
    if path.suffix != ".onnx":
        path = options.output / f"{_name(spec)}.onnx"
        with clock.stage("export"):
            exported = _export(spec, path, options)
        options.model = str(path)
    from graphfix.analysis import check
    from graphfix.graph import load

    with clock.stage("check"):
        model = load(path)
        conversion.check_files(options, model)
        wish = conversion.wish_of(options)
        shapes = conversion.check_shapes(model, wish)
        before = check(model, wish.target, shapes=shapes, tables=wish.tables)
    from graphfix.report.text import render

    print(render(before))
    if wish.profiles.kind is not None:
        print(conversion.entry("profiles", "checked at the first one"))
    prepared, document, code = _finish(model, wish, options, clock)
    print(conversion.entry("times", clock.line))
    if options.report is not None:
        report = {
            "schema": "graphfix.run/1",
            "spec": spec,
            "model": str(path),
            "stages": clock.stages,
            "export": exported,
            "check": before.to_json(),
            "fix": prepared.fixed.to_json() if prepared.fixed is not None else None,
            "result": document,
        }
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        write_output("--report", options.report, text)
    return code


def _finish(
    model: Model, wish: Wish, options: argparse.Namespace, clock: Clock
) -> tuple[Prepared, dict[str, Any], int]:
    """Fix, then run ATC where there is one, else pack the bundle."""
    from graphfix.atc.prepare import prepare
    from graphfix.atc.toolkit import find_toolkit

    kit = None if options.bundle is not None else find_toolkit(options.atc, options.atc_cmd)
    with clock.stage("fix"):
        prepared = prepare(model, wish)
    if kit is not None:
        with clock.stage("convert"):
            done = conversion.run_atc(prepared, kit, options)
        print(conversion.text(done, options))
        return done.prepared, done.to_json(), conversion.EXIT[done.status]
    if options.bundle is None:
        print(conversion.entry("atc", "none on this machine: packing a bundle for one that has it"))
        options.bundle = options.output / f"{prepared.name}.bundle.tar.gz"
    from graphfix.atc.bundle import write_bundle

    with clock.stage("bundle"):
        manifest = write_bundle(prepared, options.bundle)
    print(conversion.bundle_text(prepared, manifest, options.bundle))
    return prepared, manifest, conversion.bundle_exit(prepared)


def _name(spec: str) -> str:
    """Return a file name for a spec: the factory's or file's own."""
    return Path(spec.rpartition(":")[2]).stem or "model"


def _export(spec: str, path: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """Run `graphfix export` with the options that both commands have, and return its report.

    Raises UsageError, and what the export raises.
    """
    try:
        module = importlib.import_module("graphfix.cli.export")
    except ModuleNotFoundError:
        raise UsageError(
            f"{spec}: is no .onnx file, and this graphfix cannot export. Export it with "
            "torch.onnx.export and give the .onnx file."
        ) from None
    parser = argparse.ArgumentParser(prog="graphfix export", exit_on_error=False)
    module.add_arguments(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    words = [spec, "-o", str(path)]
    for option in (*_OF_EXPORT, "--soc", "--cann", "--precision-mode", "--op-support"):
        value = getattr(options, option[2:].replace("-", "_"))
        if option not in known or value in (None, False, "", []):
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [option] if one is True else [f"{option}={one}"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "export.json"
        if "--report" in known:
            words += ["--report", str(report)]
        code = module.run(parser.parse_args(words))
        if not path.is_file():
            raise UsageError(f"{spec}: graphfix export wrote no model (exit code {code}).")
        print()
        return json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None
