"""The screen of export: what each exporter and opset gave, and why the chosen one won."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from graphfix.frameworks.outcome import COUNTED, Candidate, Export

WIDTH = 100
_LABEL = 9
_RESULTS = {
    "chosen": "chosen",
    "beaten": "beaten",
    "wrong": "wrong: see below",
    "baked": "baked sizes: see below",
    "failed": "failed: see below",
}


def render(export: Export) -> str:
    """Return the table and the verdict, at most 100 columns wide."""
    target = ", ".join(export.soc) or "any SoC"
    lines = [f"{export.spec}   candidates for {target}, predicted from tables", ""]
    lines += tabulate(
        [_row(c) for c in export.candidates],
        headers=["exporter", "opset", "findings", "nodes", "MiB", "s", "result"],
        disable_numparse=True,
        colalign=("left", "right", "left", "right", "right", "right", "left"),
    ).splitlines()
    lines.append("")
    reasons: dict[str, list[Candidate]] = {}
    for candidate in export.candidates:
        if candidate.reason:
            reasons.setdefault(candidate.reason, []).append(candidate)
    for reason, same in reasons.items():
        opsets = ", ".join(str(c.opset) for c in same)
        lines.append(_entry(f"{same[0].exporter} {opsets}: ", reason, 0, hanging=_LABEL))
    chosen = export.chosen
    if chosen is None:
        lines.append(_entry("chosen", "none; nothing was written"))
    else:
        lines.append(_entry("chosen", f"{chosen.label}: {export.why}"))
        lines.append(_entry("proof", _proof(chosen)))
        lines += [_entry("note", n) for n in [*export.notes, *_doubled(chosen)]]
        if export.path is not None:
            lines.append(_entry("written", _written(export, chosen)))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _row(c: Candidate) -> list[str]:
    size = "" if c.bytes is None else f"{c.bytes / 2**20:,.1f}"
    nodes = "" if c.nodes is None else f"{c.nodes:,}"
    seconds = f"{c.seconds:.1f}"
    return [c.exporter, str(c.opset), _findings(c), nodes, size, seconds, _RESULTS[c.status]]


def _findings(c: Candidate) -> str:
    if c.findings is None:
        return ""
    return ", ".join(f"{n} {e}" for e in COUNTED if (n := c.findings.get(e, 0))) or "none"


def _proof(c: Candidate) -> str:
    if c.proof is None or c.proof.passed is None:
        return "not proved" if c.proof is None else c.proof.reason
    worst = max(
        (o["max_abs"] for run in c.proof.runs for o in run["outputs"].values()), default=0.0
    )
    sizes = [", ".join(f"{s}={n}" for s, n in run["sizes"].items()) for run in c.proof.runs]
    at = f", at {'; '.join(dict.fromkeys(sizes))}" if any(sizes) else ""
    count = len(c.proof.runs)
    return (
        f"{c.proof.reason} to PyTorch in ONNX Runtime over {count} inputs{at}; max abs {worst:.1e}"
        if c.proof.reason == "equal"
        else f"{c.proof.reason}; {count} inputs{at}, max abs {worst:.1e}"
    )


def _doubled(chosen: Candidate) -> list[str]:
    """Say when a file is much larger than the weights: tied ones were written twice."""
    if not chosen.doubled_bytes:
        return []
    return [
        f"the file has {chosen.doubled_bytes / 2**20:,.1f} MiB more than the weights: tied or "
        "folded ones were written twice"
    ]


def _written(export: Export, chosen: Candidate) -> str:
    text = f"{export.path}   {(chosen.bytes or 0) / 2**20:,.1f} MiB, {export.seconds:.1f} s"
    if export.peak_bytes is not None:
        text += f", peak memory {export.peak_bytes / 2**20:,.0f} MiB"
    return text


def _entry(label: str, words: str, width: int = _LABEL, hanging: int | None = None) -> str:
    printable = "".join(c if c.isprintable() else " " for c in words)
    return textwrap.fill(
        printable, WIDTH, initial_indent=label.ljust(width),
        subsequent_indent=" " * (width if hanging is None else hanging),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
