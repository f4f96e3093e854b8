"""The report of compare: text for the terminal, Markdown, and the error's way as a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from xml.sax.saxutils import escape

from tabulate import tabulate

from graphfix.comparison.compare import Comparison, Output
from graphfix.comparison.layers import Layer, LayerReport
from graphfix.comparison.metrics import DEFAULTS, ON_NPU

WIDTH = 100
_ROWS = 20
_PATH_ROWS = 12
_BARS = "▁▂▃▄▅▆▇█"
# errors below this one are drawn as if they were it
_FLOOR = 1e-9
_OUTPUT_HEAD = ["output", "dtype", "max abs", "max rel", "euclid", "cosine", "beyond", "verdict"]
_PATH_HEAD = ["node", "operator", "error", "max abs", "cosine", ""]


def render(report: Comparison, command: str = "graphfix compare A B") -> str:
    """Return the report as text of at most 100 columns; `command` is what the hints repeat."""
    lines = wrap(report.a) + wrap(f"against {report.b}")
    inputs = ", ".join(f"{n} {t}" for n, t in report.inputs.items()) or "none"
    lines += wrap(f"Inputs   {inputs}; {count(report.samples, 'sample')}", "         ")
    lines += ["", *_table(report, "simple"), ""]
    if report.layers is not None:
        lines += [*_layers(report.layers, "simple"), ""]
    lines += wrap(_verdict(report))
    for note in report.notes:
        lines += wrap(f"Note: {note}")
    if report.stopped is not None:
        lines += wrap(f"Stopped: {report.stopped} What came before it stands above.")
    if report.outputs and not report.passed and report.layers is None:
        lines += wrap(f"To find the first diverging node: {command} --layers", "  ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_markdown(report: Comparison) -> str:
    """Return the report as Markdown."""
    lines = [f"## {report.a} against {report.b}", ""]
    lines += [*_table(report, "github"), ""]
    if report.layers is not None:
        lines += [*_layers(report.layers, "github"), ""]
    lines.append(_verdict(report))
    lines += [f"\nNote: {note}" for note in report.notes]
    if report.stopped is not None:
        lines.append(f"\nStopped: {report.stopped}")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------- outputs


def _table(report: Comparison, style: str) -> list[str]:
    if not report.outputs:
        return ["No output was compared."]
    worst = sorted(report.outputs, key=lambda o: (o.metrics.passed, -o.metrics.beyond))
    by_element = report.tolerance is None or report.tolerance.of_elements
    rows = [_row(o, by_element) for o in worst[:_ROWS]]
    lines = tabulate(rows, _OUTPUT_HEAD, tablefmt=style, disable_numparse=True).splitlines()
    if len(worst) > _ROWS:
        rest = worst[_ROWS:]
        failing = sum(not o.metrics.passed for o in rest)
        lines.append(f"... and {len(rest)} more outputs, {failing} beyond the tolerance")
    for o in worst[:_ROWS]:
        m = o.metrics
        if m.problem is not None:
            where = f", first at {list(m.first)}" if m.first and by_element else ""
            sample = f" (sample {o.sample})" if report.samples > 1 else ""
            lines += ["", *wrap(f"{o.name}: {m.problem}{where}{sample}", "  ")]
        elif m.note is not None:
            lines += ["", *wrap(f"{o.name}: {m.note}", "  ")]
    return lines


def _row(o: Output, by_element: bool) -> list[str]:
    m = o.metrics
    verdict = "equal" if m.equal else "within" if m.passed else "DIFFERS"
    beyond = "0" if not m.beyond else f"{m.beyond:.2%}" if by_element else "-"
    return [
        shorten(o.name, 28), m.dtype, _number(m.max_abs), _number(m.max_rel),
        _number(m.relative_euclidean), _cosine(m.cosine), beyond, verdict,
    ]  # fmt: skip


def _verdict(report: Comparison) -> str:
    failing = [o for o in report.outputs if not o.metrics.passed]
    floats = [o.metrics.dtype for o in report.outputs if o.metrics.dtype in DEFAULTS]
    t = report.tolerance
    if t is None:
        limits = "; ".join(
            f"{d}: atol {DEFAULTS[d].atol:.0e}, rtol {DEFAULTS[d].rtol:.0e}"
            for d in dict.fromkeys(floats)
        )
    else:
        parts = (
            ("atol", t.atol), ("rtol", t.rtol), ("cosine from", t.cosine),
            ("relative Euclidean error to", t.euclidean),
        )  # fmt: skip
        limits = ", ".join(f"{name} {number:g}" for name, number in parts if number is not None)
        if t == ON_NPU:
            limits += "; an NPU computes in float16 by default"
    total = count(len(report.outputs), "output")
    if failing:
        return f"Different: {len(failing)} of {total} beyond the tolerance ({limits or 'equal'})."
    if not report.outputs:
        return "Nothing can be said of the outputs: compare models that have some."
    equal = all(o.metrics.equal for o in report.outputs)
    if equal:
        return f"The same: {total}, no element differs."
    return f"The same within the tolerance ({limits}): {total}."


# ---------------------------------------------------------------------- layers


def _layers(layers: LayerReport, style: str) -> list[str]:
    how = "looked at by halving" if layers.method == "bisect" else "compared"
    text = f"{count(len(layers.layers), 'inner value')} {how}"
    if layers.unmatched:
        text += f", {layers.unmatched:,} without a match"
    if layers.method == "layers" and layers.chunks > 1:
        text += f", in {layers.chunks} chunks"
    first = layers.first
    lines = wrap(f"{text}: none is beyond the tolerance.")
    if layers.healed:
        names = ", ".join(shorten(layer.node, 40) for layer in layers.healed[:3])
        more = " ..." if len(layers.healed) > 3 else ""
        lines = wrap(
            f"{text}. {count(len(layers.healed), 'of them', '')} "
            f"{'differs' if len(layers.healed) == 1 else 'differ'}, but all that follows agrees, "
            f"as where nodes were fused: {names}{more}"
        )
    if first is None:
        return lines
    lines = [*(lines if layers.healed else wrap(f"{text}.")), "First divergence:"]
    other = f" ({first.other} there, by {first.by})" if first.other != first.value else ""
    lines += wrap(f"{first.node} ({first.op_type}){other}: {first.metrics.problem}", "  ", "  ")
    if layers.begins is not None:
        begins = layers.begins
        lines += wrap(
            f"It begins, within the tolerance, at {begins.node} ({begins.op_type}): max abs "
            f"{_number(begins.metrics.max_abs)}", "  ", "  ",
        )  # fmt: skip
    if len(layers.path) > 1:
        lines += ["", "The error on its way to the worst output (relative Euclidean):"]
        lines.append("  " + sparkline([layer.error for layer in layers.path]))
        lines += ["", *_path(layers.path, style)]
    return lines


def _path(path: Sequence[Layer], style: str) -> list[str]:
    shown = set(range(len(path)))
    if len(path) > _PATH_ROWS:
        # both ends, and where the error grows most between
        gains = {i: _gain(path[i - 1], path[i]) for i in range(2, len(path) - 1)}
        grown = sorted(gains, key=lambda i: -gains[i])[: _PATH_ROWS - 3]
        shown = {0, 1, len(path) - 1, *grown}
    rows = [
        [
            shorten(layer.node, 40), layer.op_type, _number(layer.error),
            _number(layer.metrics.max_abs), _cosine(layer.metrics.cosine),
            "" if layer.metrics.passed else "beyond",
        ]
        for i, layer in enumerate(path)
        if i in shown
    ]  # fmt: skip
    lines = tabulate(rows, _PATH_HEAD, tablefmt=style, disable_numparse=True).splitlines()
    if len(shown) < len(path):
        lines.append(f"{len(shown)} of {len(path)} nodes: both ends and where the error grows most")
    return lines


def _gain(before: Layer, after: Layer) -> float:
    return _log(after.error) - _log(before.error)


def _log(error: float) -> float:
    return math.log10(min(max(error, _FLOOR), 1e9))


def sparkline(errors: Sequence[float], width: int = 80) -> str:
    """Return bars for errors on a logarithmic scale, the greatest of each stretch."""
    step = max(1, math.ceil(len(errors) / width))
    heights = [max(map(_log, errors[i : i + step])) for i in range(0, len(errors), step)]
    low, high = min(heights), max(heights)
    span = high - low or 1.0
    bars = "".join(_BARS[round((h - low) / span * (len(_BARS) - 1))] for h in heights)
    return f"{bars}  {10**low:.0e} .. {10**high:.0e}"


def picture(layers: LayerReport) -> str:
    """Return the error of every compared value, in the order of the model, as an SVG."""
    width, height, left, top = 960, 360, 60, 40
    points = [(i, _log(layer.error)) for i, layer in enumerate(layers.layers)]
    low = math.floor(min((y for _, y in points), default=-9))
    high = max(math.ceil(max((y for _, y in points), default=0)), low + 1)
    span = max(1, len(points) - 1)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + x / span * (width - left - 20),
            top + (high - y) / (high - low) * (height - top - 50),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20">Relative Euclidean error of each value, in the order of the '
        "model; red where beyond the tolerance</text>",
    ]
    for tick in range(low, high + 1, max(1, (high - low) // 6)):
        x, y = at(0, tick)
        parts.append(f'<line x1="{x}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="8" y="{y + 4:.1f}">1e{tick:+d}</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*p) for p in points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#888"/>')
    for (i, level), layer in zip(points, layers.layers, strict=True):
        x, y = at(i, level)
        colour = "#2a7" if layer.metrics.passed else "#c22"
        title = escape(f"{layer.node} ({layer.op_type}): {layer.error:.2e}")
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{title}</title>'
            "</circle>"
        )
    if layers.first is not None:
        index = next(i for i, la in enumerate(layers.layers) if la.value == layers.first.value)
        x, _ = at(index, low)
        anchor = "end" if x > width / 2 else "start"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - 50}" '
                     'stroke="#c22" stroke-dasharray="4"/>')  # fmt: skip
        parts.append(f'<text x="{x:.1f}" y="{height - 20}" text-anchor="{anchor}" fill="#c22">'
                     f"first: {escape(layers.first.node)}</text>")  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


# ---------------------------------------------------------------------- words and numbers


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def _cosine(value: float | None) -> str:
    return "-" if value is None else f"{value:.7f}"


def count(number: int, noun: str, plural: str = "s") -> str:
    """Return `3 nodes`."""
    return f"{number:,} {noun}{plural * (number != 1)}"


def shorten(text: str, width: int) -> str:
    """Shorten a name in the middle: what tells names apart is at both ends."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    if len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{text[:half]}...{text[-(width - 3 - half) :]}"


def wrap(text: str, indent: str = "  ", first: str = "") -> list[str]:
    """Return the lines of a paragraph, of at most 100 columns."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )
