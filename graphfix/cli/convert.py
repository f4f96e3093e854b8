"""graphfix convert MODEL --soc S: check, fix, run ATC; or --bundle for a machine that has it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphfix.cli.options import (
    add_fixing,
    add_target,
    check_apart,
    check_opset,
    check_output,
    rules_of,
    tables_of,
    target_of,
    write_output,
)
from graphfix.errors import UsageError

if TYPE_CHECKING:
    from graphfix.atc.convert import Conversion
    from graphfix.atc.invocation import Profiles
    from graphfix.atc.prepare import Prepared, Wish
    from graphfix.atc.toolkit import Toolkit
    from graphfix.graph import Model

EXIT = {"converted": 0, "failed": 1, "stopped": 1, "cancelled": 130}
_WIDTH, _LABEL = 100, 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx file; it is never changed")
    add_conversion(parser)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report there")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the command of atc; write and run nothing"
    )


def add_conversion(parser: argparse.ArgumentParser) -> None:
    """Add what `convert` and `run` share: target, shapes, fix, atc and the output."""
    add = parser.add_argument
    add("-o", "--output", type=Path, default=Path(), metavar="DIR",
        help="the folder of the .om (default: the current one)")  # fmt: skip
    add_target(parser)
    add_profiles(parser)
    add("--no-fix", action="store_true", help="give the model to ATC as it is")
    add_fixing(parser)
    add("--bundle", type=Path, metavar="OUT.tar.gz",
        help="run no atc: write model, script and test data for a machine that has it")  # fmt: skip
    add("--atc", type=Path, metavar="PATH", help="the atc executable or the toolkit's folder")
    add("--atc-cmd", metavar="COMMAND", help="a command that atc's options follow: 'docker run "
        "-v $PWD:$PWD -w $PWD IMAGE atc', 'ssh HOST atc'")  # fmt: skip
    add("--atc-workdir", metavar="PATH", help="what -o DIR is called where --atc-cmd runs atc")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="an option of atc; may be repeated")  # fmt: skip
    add("--retries", type=int, default=1, metavar="N",
        help="how often to mend and repeat a failed run (default %(default)s)")  # fmt: skip
    add("--timeout", type=float, metavar="S", help="seconds for one run of atc")


def add_profiles(parser: argparse.ArgumentParser) -> None:
    """Add --shape, --batch, --dims and --image-size."""
    add = parser.add_argument
    add("--shape", action="append", default=[], metavar="NAME=D,D,...",
        help="dims of an input; -1 stays open for the profiles; may be repeated")  # fmt: skip
    add("--batch", metavar="1,2,4,8", help="profiles: sizes of the first dim")
    add("--dims", metavar="D,D;D,D", help="profiles: one number for each open dim")
    add("--image-size", metavar="H,W;H,W", help="profiles: heights and widths")


def run(options: argparse.Namespace) -> int:
    """Convert or bundle, print what happened, return the exit code."""
    check_options(options)
    from graphfix.graph import load

    model = load(options.model)
    check_files(options, model)
    wish = wish_of(options)
    check_shapes(model, wish)
    if options.dry_run:
        return _dry_run(model, wish, options)
    from graphfix.atc.prepare import prepare

    if options.bundle is not None:
        from graphfix.atc.bundle import write_bundle

        prepared = prepare(model, wish)
        document = write_bundle(prepared, options.bundle)
        print(bundle_text(prepared, document, options.bundle))
        code = bundle_exit(prepared)
    else:
        toolkit = find(options)
        done = run_atc(prepare(model, wish), toolkit, options)
        print(text(done, options))
        document, code = done.to_json(), EXIT[done.status]
    if options.report is not None:
        write_output("--report", options.report, json.dumps(document, indent=1) + "\n")
    return code


# ---------------------------------------------------------------------- options


def check_options(options: argparse.Namespace) -> None:
    """Refuse what makes no sense before any work. Raises UsageError."""
    if not options.soc:
        raise UsageError(
            "--soc: say for which chip, such as --soc Ascend310P3; `graphfix socs` lists them."
        )
    check_opset(options)
    if options.retries < 0:
        raise UsageError(f"--retries {options.retries}: give a whole number from 0 on.")
    if options.timeout is not None and not options.timeout > 0:
        raise UsageError(f"--timeout {options.timeout:g}: give seconds above 0.")
    if options.atc_workdir is not None and options.atc_cmd is None:
        raise UsageError("--atc-workdir: tells what --atc-cmd sees; give both.")
    if options.bundle is not None and (options.atc is not None or options.atc_cmd is not None):
        raise UsageError("--bundle: runs no atc; leave --atc and --atc-cmd out.")
    if not options.output.is_dir():
        what = (
            "is a file; give a folder"
            if options.output.exists()
            else ("there is no such folder; create it first")
        )
        raise UsageError(f"-o {options.output}: {what}.")
    writes = options.bundle is None and not getattr(options, "dry_run", False)
    if writes and not os.access(options.output, os.W_OK):
        raise UsageError(f"-o {options.output}: cannot be written to. Give another folder.")


def check_files(options: argparse.Namespace, model: Model) -> None:
    """Refuse outputs that are inputs. Raises UsageError."""
    from graphfix.graph.saving import external_files

    inputs = [Path(options.model), *external_files(model)]
    check_output("--report", options.report, inputs)
    check_apart(bundle=options.bundle, report=options.report)
    if options.bundle is not None:
        from graphfix.atc.bundle import check_bundle

        check_bundle(options.bundle)
        check_output("--bundle", options.bundle, inputs)


def check_shapes(model: Model, wish: Wish) -> Mapping[str, tuple[int, ...]]:
    """Return the inputs' dims, with profiles those of the first.

    Raises UsageError for shapes and options that contradict the model.
    """
    from graphfix.atc.invocation import invocation

    return invocation(model, wish.target, wish.profiles, wish.settings).first


def wish_of(options: argparse.Namespace) -> Wish:
    """Return what the options ask for. Raises UsageError."""
    from graphfix.atc.prepare import Wish

    return Wish(
        target=target_of(options),
        profiles=profiles_of(options),
        settings=dict(_setting(s) for s in options.set),
        fix=not options.no_fix,
        opset=options.opset,
        rules=rules_of(options),
        approximate="approximate" in options.allow,
        verify=options.verify,
        tables=tables_of(options),
    )


def profiles_of(options: argparse.Namespace) -> Profiles:
    """Return the shapes and profiles that the options name. Raises UsageError."""
    from graphfix.atc.invocation import Profiles

    batch = numbers("--batch", options.batch, "1,2,4,8")
    if len(batch) > 1:
        raise UsageError(f"--batch {options.batch}: sizes are parted by commas, as in 1,2,4,8.")
    return Profiles(
        dims_of(options.shape),
        batch[0] if batch else (),
        numbers("--dims", options.dims, "16,32;64,128"),
        numbers("--image-size", options.image_size, "416,416;832,832"),
    )


def _setting(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not equals or not key.strip("- "):
        raise UsageError(f"--set {given}: expected KEY=VALUE, for instance log=info.")
    return key.strip(), value


def numbers(option: str, given: str | None, example: str) -> tuple[tuple[int, ...], ...]:
    """Read `1,2;3,4`. Raises UsageError."""
    if given is None:
        return ()
    try:
        return tuple(tuple(int(n) for n in row.split(",")) for row in given.split(";"))
    except ValueError:
        raise UsageError(f"{option} {given}: expected whole numbers such as {example}.") from None


def dims_of(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Read `name=-1,3,224,224`. Raises UsageError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for given in (part for t in texts for part in t.split(";") if part.strip()):
        name, equals, dims = given.strip().rpartition("=")
        try:
            sizes = tuple(int(d) for d in dims.split(",")) if dims.strip() else ()
        except ValueError:
            sizes = (-2,)
        if not equals or not name or any(n < -1 or n == 0 for n in sizes):
            raise UsageError(
                f"--shape {given}: expected name=1,3,224,224 with whole numbers from 1 on, or -1 "
                "where profiles decide, without brackets; a scalar is `name=`."
            )
        shapes[name.strip()] = sizes
    return shapes


# ---------------------------------------------------------------------- the work


def find(options: argparse.Namespace) -> Toolkit:
    """Return the ATC to run. Raises UsageError when there is none."""
    from graphfix.atc.toolkit import NOT_FOUND, find_toolkit

    toolkit = find_toolkit(options.atc, options.atc_cmd)
    if toolkit is None:
        raise UsageError(NOT_FOUND)
    return toolkit


def run_atc(prepared: Prepared, toolkit: Toolkit, options: argparse.Namespace) -> Conversion:
    """Run ATC on a prepared model, and show what happens."""
    from graphfix.atc.convert import Place, convert

    place = Place(options.output, options.atc_workdir)
    return convert(
        prepared, toolkit, place, Screen(), retries=options.retries, timeout=options.timeout
    )


def _dry_run(model: Model, wish: Wish, options: argparse.Namespace) -> int:
    from graphfix.atc.convert import prediction
    from graphfix.atc.prepare import prepare
    from graphfix.atc.toolkit import find_toolkit
    from graphfix.report.memory import line

    toolkit = find_toolkit(options.atc, options.atc_cmd)
    prepared = prepare(model, wish)
    print(entry("check", prediction(prepared)))
    print(entry("memory", line(prepared.memory)))
    source = options.model
    if prepared.fixed is not None:
        source = str(options.output / f"{prepared.name}.fixed.onnx")
    command = toolkit.command if toolkit is not None else ("atc",)
    words = prepared.invocation.words(command, source, str(options.output / prepared.name))
    print(entry("command", shlex.join(words)))
    print("(dry run: nothing was written or run)")
    return 0


class Screen:
    """Shows stages on stdout; ATC's log and the clock on stderr, the clock on a terminal only."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._shown = 0.0

    def stage(self, name: str, text: str) -> None:
        """Print a labelled line."""
        print(entry(name, text), flush=True)

    def line(self, text: str) -> None:
        """Print a line of ATC's log as it comes."""
        self._clear()
        print(f"  {text}", file=sys.stderr, flush=True)

    def tick(self, seconds: float) -> None:
        """Show the elapsed time, once a second."""
        if self._tty and time.monotonic() - self._shown >= 1:
            self._shown = time.monotonic()
            print(f"\r  atc runs, {seconds:.0f} s ", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._tty and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr)


# ---------------------------------------------------------------------- texts


def entry(label: str, words: str) -> str:
    """Return words with a label in front, wrapped."""
    return textwrap.fill(
        words, _WIDTH, initial_indent=f"{label} ".ljust(_LABEL), subsequent_indent=" " * _LABEL,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def text(conversion: Conversion, options: argparse.Namespace) -> str:
    """Return what the screen says at the end."""
    if conversion.status == "stopped":
        return entry("stopped", "the preflight says that ATC cannot run here; nothing was run")
    last = conversion.attempts[-1]
    if conversion.status == "converted":
        om = next(f for f in conversion.files if f.suffix in (".om", ".exeom"))
        size = om.stat().st_size / 2**20
        tries = len(conversion.attempts)
        how = f"{last.outcome.seconds:.0f} s" + (f", attempt {tries}" if tries > 1 else "")
        return "\n".join(
            [
                entry("om", f"{om}   {size:,.1f} MiB, {how}"),
                entry("log", str(last.log)),
                entry("next", shlex.join(["graphfix", "compare", options.model, str(om)])),
            ]
        )
    lines = [entry(conversion.status, f"{last.problem}; no .om was written or replaced")]
    if last.diagnosis is not None:
        lines += _causes(last.diagnosis)
    if last.remedy is not None:
        lines.append(entry("tried", last.remedy))
    model = next((f for f in conversion.files if f.suffix == ".onnx"), Path(options.model))
    lines.append(entry("log", str(last.log)))
    if conversion.status == "failed":
        command = ["graphfix", "diagnose", str(last.log), "--model", str(model)]
        lines.append(entry("next", shlex.join(command)))
    return "\n".join(lines)


def _causes(diagnosis: Mapping[str, Any]) -> list[str]:
    lines = []
    for cause in diagnosis["causes"][:3]:
        nodes = ", ".join(n["node"] or n["raw"] for n in cause["nodes"][:3])
        lines.append(entry(cause["code"], f"{cause['headline']}{': ' if nodes else ''}{nodes}"))
        lines.append(entry("", f"-> {cause['remedy']}"))
    return lines


def bundle_exit(prepared: Prepared) -> int:
    """Return the exit code of a bundle: 1 when ATC is predicted to refuse the model."""
    return 1 if prepared.report.worst() == "rejected" else 0


def bundle_text(prepared: Prepared, manifest: Mapping[str, Any], archive: Path) -> str:
    """Return what the screen says of a bundle."""
    from graphfix.atc.convert import prediction
    from graphfix.report.memory import line

    size = archive.stat().st_size / 2**20
    lines = [
        entry("check", prediction(prepared)),
        entry("memory", line(prepared.memory)),
        entry("bundle", f"{archive}   {size:,.1f} MiB, {len(manifest['files'])} files"),
    ]
    if manifest["golden"]["reason"] is not None:
        lines.append(entry("", f"without golden data: {manifest['golden']['reason']}"))
    there = f"tar xf {shlex.quote(archive.name)} && {shlex.quote(prepared.name + '/convert.sh')}"
    lines.append(entry("there", f"{there}   (needs CANN's set_env.sh)"))
    result = shlex.join(manifest["compare"]).replace("RESULT", "FOLDER-OR-OM")
    lines.append(entry("back", f"{result}   (in {prepared.name}/)"))
    return "\n".join(lines)
