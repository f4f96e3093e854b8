"""graphfix fix MODEL -o OUT: rewrite a model until ATC takes it, and prove it."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import textwrap
from pathlib import Path

import onnx.helper
from tabulate import tabulate

from graphfix.analysis import EFFECT_ORDER
from graphfix.cli.options import (
    add_fixing,
    add_target,
    check_apart,
    check_opset,
    check_output,
    rules_of,
    shapes_of,
    tables_of,
    target_of,
    write_output,
)
from graphfix.errors import UsageError
from graphfix.graph import Model, load, save
from graphfix.graph.saving import external_files
from graphfix.report.compare import count, wrap
from graphfix.report.text import render, wants_colour
from graphfix.rewrite.fix import FixReport, fix
from graphfix.rewrite.whole import WholeProof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx file; it is never changed")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="where the result goes")
    add_target(parser)
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=D,D,...",
        help="write static dims of an input into the result; may be repeated",
    )
    add_fixing(parser)
    parser.add_argument(
        "--simplify", action="store_true", help="run onnxsim first; dropped if the proof fails"
    )
    parser.add_argument(
        "--save-external",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="FILE",
        help="write all weights into one file beside OUT (default OUT.data); needed above 2 GB",
    )
    parser.add_argument("--diff", action="store_true", help="show the change as a diff of nodes")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report there")
    parser.add_argument(
        "--fail-on",
        default="rejected",
        metavar="EFFECT",
        choices=(*EFFECT_ORDER, "never"),
        help="exit 1 when something from this effect on remains (default %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Fix the model, print what was done, return the exit code."""
    if options.output is None and not options.dry_run:
        raise UsageError("fix: say where the result goes with -o OUT, or give --dry-run.")
    check_opset(options)
    check_output("-o", options.output, [Path(options.model)])
    weights = _weights_file(options)
    check_apart(o=options.output, report=options.report, save_external=weights)
    target, tables = target_of(options), tables_of(options)
    chosen = rules_of(options)
    original = load(options.model)
    inputs = [Path(options.model), *external_files(original)]
    check_output("-o", options.output, inputs)
    check_output("--report", options.report, inputs)
    check_output("--save-external", weights, inputs)
    start = original
    if options.simplify:
        from graphfix.rewrite.simplify import simplify

        start, happened = simplify(original)
        print(happened)
    lines_before = _lines(original) if options.diff else []
    report = fix(
        start,
        target,
        shapes=shapes_of(options.shape),
        opset=options.opset,
        rules=chosen,
        tables=tables,
        verify=options.verify,
        approximate="approximate" in options.allow,
        in_place=True,
    )
    copied: list[Path] = []
    if not options.dry_run:
        try:
            copied = save(report.model, options.output, weights)
        except OSError as error:
            raise UsageError(
                f"-o {options.output}: cannot be written ({error.strerror})."
            ) from None
        report.after.path = str(options.output)
    if options.report is not None:
        text = json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n"
        write_output("--report", options.report, text)
    for path in copied:
        size = path.stat().st_size / 1e6
        print(f"{path}: the weights ({size:,.0f} MB) were copied, since readers refuse links. "
              "Write OUT beside MODEL to share them.")  # fmt: skip
    print(_text(report, options))
    if options.diff:
        lines = _lines(report.model)
        print("\n".join(difflib.unified_diff(lines_before, lines, "before", "after",
                                             lineterm="", n=1)))  # fmt: skip
    worst = report.after.worst()
    fails = options.fail_on != "never" and worst is not None and EFFECT_ORDER.index(
        worst) <= EFFECT_ORDER.index(options.fail_on)  # fmt: skip
    return 1 if fails or (report.whole is not None and report.whole.ok is False) else 0


def _weights_file(options: argparse.Namespace) -> Path | None:
    """Return where all weights go, None when they stay where they are."""
    file: Path | None = options.save_external
    if file is None or options.output is None:
        return None
    if file == Path():
        file = options.output.with_name(options.output.name + ".data")
    return file


def _text(report: FixReport, options: argparse.Namespace) -> str:
    lines = [report.plan.sentence()]
    if report.plan.relabelled:
        adapted = ", ".join(f"{t} {n}" for t, n in sorted(report.plan.adapted.items()))
        lines[0] += f" (relabelled {count(report.plan.relabelled, 'node')}" + (
            f", adapted {adapted})" if adapted else ")")  # fmt: skip
    lines[:] = wrap(lines[0])
    for node, op_type, reason in report.plan.losses:
        lines += wrap(f"{node or op_type} ({op_type}) cannot get there: {reason}", "    ", "  ")
    rows = []
    for rule, sites in sorted(report.fired().items()):
        changes = [c for c in report.changes if c.rule == rule]
        worst = max((c.proof.max_abs for c in changes if c.proof is not None), default=0.0)
        samples = sum(c.proof.samples for c in changes if c.proof is not None)
        outcome = "equal" if worst == 0 else f"max error {worst:.1e}"
        proof = (
            "not proved" if report.verify == "off" else f"{outcome} over {count(samples, 'run')}"
        )
        if rule.startswith("tidy/"):
            proof = "names and imports only"
        rows.append([rule, sites, changes[0].exactness, proof])
    if report.whole is not None:
        rows.append(["whole model", "", "", _of_whole(report.whole)])
    if rows:
        lines += ["", tabulate(rows, ["rule", "sites", "exact", "proof"]), ""]
    else:
        lines.append("No rule fired.")
    if report.whole is not None and not report.whole.outputs:
        lines += wrap(f"whole model: {report.whole.reason}")
    for rule, node, failed in report.failed_proofs:
        lines += wrap(f"proof failed, rolled back: {rule} at {node}: {failed.reason}")
    for note in [*report.notes, *_remaining(report)]:
        lines += wrap(note)
    where = "(dry run)" if options.dry_run else str(options.output)
    lines.append(f"{where}   {report.before.verdict} -> {report.after.verdict} (predicted)")
    if report.verify == "off":
        lines.append("Nothing was proved: --verify off.")
    text = render(report.after, colour=wants_colour(sys.stdout)) if report.after.findings else ""
    return "\n".join(lines) + ("\n\n" + text if text else "")


def _of_whole(whole: WholeProof) -> str:
    if not whole.outputs:
        return "not compared, see below" if whole.ok is None else "not equal, see below"
    worst = max(o["max_rel"] for o in whole.outputs.values())
    return f"{textwrap.shorten(whole.reason, 40)}, max rel {worst:.1e}"


def _remaining(report: FixReport) -> list[str]:
    """Say why no rule helps with what is still refused or computed differently."""
    names: dict[str, list[str]] = {}
    for left in report.remaining:
        # where no rule exists, the table below says what to do
        if left.finding.node is not None and not left.reason.startswith("no rule"):
            names.setdefault(left.reason, []).append(left.finding.node)
    lines = []
    for reason, nodes in names.items():
        more = f" and {len(nodes) - 2} more" if len(nodes) > 2 else ""
        lines.append(f"{', '.join(nodes[:2])}{more}: {reason}")
    return lines


def _lines(model: Model) -> list[str]:
    """Return the nodes of a model as text, for the diff."""
    return [onnx.helper.printable_node(n.proto) for n in model.graph.ordered()]
