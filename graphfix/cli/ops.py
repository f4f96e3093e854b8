"""graphfix ops [OP]: is an operator supported, at which opsets and dtypes, on what evidence."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from tabulate import tabulate

from graphfix.analysis.codes import BY_NAME
from graphfix.cli.options import add_target, tables_of, target_of
from graphfix.errors import UsageError, nearest
from graphfix.support import Operator, Soc, Tables, Target, find_soc, kernels
from graphfix.support.conditions import generic
from graphfix.support.target import CURRENT_SOCS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("op", nargs="?", metavar="OP", help="an operator's name; left out: a list")
    add_target(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Print what the tables say, return the exit code."""
    target, tables = target_of(options), tables_of(options)
    if options.op is None:
        _list(tables, target, options.format)
        return 0
    operator = tables.operator(options.op)
    if operator is None:
        close = next((n for n in tables.names() if n.lower() == options.op.lower()), None)
        operator = tables.operator(close) if close else None
    if operator is None:
        raise UsageError(
            f"{options.op}: op_support knows no such operator, so its support is unknown. "
            f"{nearest(options.op, tables.names())}"
        )
    facts = describe(operator, target)
    if options.format == "json":
        print(json.dumps({"schema": "graphfix.ops/1", **facts}, indent=1, ensure_ascii=False))
    else:
        print(_text(operator, facts, target))
    return 0


def _list(tables: Tables, target: Target, how: str) -> None:
    rows = []
    for name in tables.names():
        operator = tables.operator(name)
        if operator is None:
            continue
        domains = sorted({r.domain for r in operator.registrations}) or ["ai.onnx"]
        for domain in domains:
            opsets = [
                r.opsets.text
                for r in operator.registrations
                if r.domain == domain and (not r.releases or target.release.name in r.releases)
            ]
            rows.append(
                [
                    name,
                    domain,
                    ", ".join(opsets) or "none",
                    sum(c.effect == "rejected" for c in operator.constraints),
                    sum(c.effect == "miscompiled" for c in operator.constraints),
                ]
            )
    if how == "json":
        keys = ("op", "domain", "opsets", "refusals", "silent")
        print(
            json.dumps(
                {
                    "schema": "graphfix.ops/1",
                    "cann": target.release.name,
                    "ops": [dict(zip(keys, r, strict=True)) for r in rows],
                },
                indent=1,
            )
        )
        return
    print(tabulate(rows, ["operator", "domain", "registered at", "refusals", "silent"]))
    print(
        f"\nCANN {target.release.name}. refusals, silent: how many constraints are known. "
        "`graphfix ops NAME` tells more."
    )


def describe(operator: Operator, target: Target) -> dict[str, Any]:
    """Return what the tables say of an operator, as data."""
    socs = target.socs or tuple(find_soc(name) for name in CURRENT_SOCS)
    release = target.release
    ge_ops = list(
        dict.fromkeys(
            [k.ge_op for k in operator.kernels] or [r.ge_op for r in operator.registrations]
        )
    )
    return {
        "op": operator.name,
        "cann": release.name,
        "instead": operator.instead,
        "registrations": [
            {"domain": r.domain, "opsets": r.opsets.text, "ge_op": r.ge_op, "form": r.form,
             "becomes": list(r.becomes), "source": r.source, "certainty": r.certainty}
            for r in operator.registrations if not r.releases or release.name in r.releases
        ],
        "kernels": [_kernel(ge_op, soc, target) for ge_op in ge_ops for soc in socs],
        "constraints": [
            {"id": c.key, "code": BY_NAME[c.finding].code, "effect": c.effect,
             "opsets": c.opsets.text, "says": generic(c.says), "advice": generic(c.advice),
             "source": c.source, "certainty": c.certainty}
            for c in operator.constraints if not c.releases or release.name in c.releases
        ],
        "notes": [{"opsets": n.opsets.text, "says": n.says, "source": n.source,
                   "certainty": n.certainty} for n in operator.notes],
        "documented": dict(operator.documented),
    }  # fmt: skip


def _kernel(ge_op: str, soc: Soc, target: Target) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "ge_op": ge_op,
        "soc": soc.name,
        "engine": "unknown",
        "dtypes": [],
        "dynamic_shape": None,
        "source": None,
    }
    if ge_op in kernels.local_operators():
        return {**entry, "engine": "none needed"}
    kernel = kernels.ai_core(target.release, soc, ge_op) or kernels.ai_cpu(
        target.release, soc, ge_op
    )
    if kernel is None:
        return entry
    first = kernel.inputs[0].dtypes if kernel.inputs else ()
    dtypes = sorted(set(first or ()))
    if soc.family in kernels.WITHOUT_BF16:
        dtypes = [d for d in dtypes if d != "bfloat16"]
    return {
        **entry,
        "engine": kernel.engine,
        "dtypes": dtypes,
        "dynamic_shape": kernel.dynamic_shape,
        "source": kernel.source,
    }


def _text(operator: Operator, facts: dict[str, Any], target: Target) -> str:
    lines = [f"{operator.name}   CANN {target.release.name}, predicted from tables", ""]
    if not facts["registrations"]:
        lines.append(
            "Registered at no opset: the parser refuses it "
            f"({target.release.code('not_registered')})."
        )
        if operator.instead:
            lines += textwrap.wrap(f"Instead: {operator.instead}", 100)
    for r in facts["registrations"]:
        becomes = f" (of {', '.join(r['becomes'])})" if r["becomes"] else ""
        lines += textwrap.wrap(
            f"{r['domain']} {r['opsets']}: {r['ge_op']}{becomes}", 100, subsequent_indent="    "
        )
        lines.append(f"    {r['source']} ({r['certainty']})")
    if facts["kernels"]:
        rows = [[k["ge_op"], k["soc"], k["engine"], {True: "yes", False: "no"}.get(
            k["dynamic_shape"], "-"), "\n".join(textwrap.wrap(" ".join(k["dtypes"]), 44)) or "-"]
            for k in facts["kernels"]]  # fmt: skip
        lines += ["", tabulate(rows, ["GE operator", "SoC", "engine", "dynamic", "first input"])]
    for title, entries in (("Constraints", facts["constraints"]), ("Notes", facts["notes"])):
        if entries:
            lines += ["", title]
        for e in entries:
            head = f"{e['code']} {e['effect']}, {e['id']}, " if "code" in e else ""
            lines.append(f"  {head}{_opsets(e['opsets'])}")
            lines += textwrap.wrap(
                f"{e['says']} [{e['source']}; {e['certainty']}]",
                96,
                initial_indent="    ",
                subsequent_indent="    ",
            )
    if operator.documented:
        lines += [
            "",
            f"Documented: opsets {operator.documented.get('opsets', '?')} "
            f"({operator.documented.get('source', '')}); the lists are stale in places.",
        ]
    return "\n".join(lines)


def _opsets(text: str) -> str:
    return f"opset{'' if text.isdigit() else 's'} {text}"
