"""The estimate of device memory as text: a screen, and a line for a conversion's report."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from graphfix.analysis.memory import Held, Memory, Profile, Range

_WIDTH = 100


_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def size(count: int) -> str:
    """Return bytes as people read them."""
    if count >= 1 << 50:
        return ">1000 TiB"  # a slip in the dims; its digits would only tear the table
    for unit, factor in _UNITS:
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def span(found: Range) -> str:
    """Return one size, or two where the precision mode leaves it open."""
    if found.low == found.high:
        return size(found.high)
    low, high = size(found.low), size(found.high)
    unit = high.split()[1]
    return f"{low.removesuffix(' ' + unit)}-{high}"


def line(found: Memory) -> str:
    """Return the estimate in a sentence, for the report of a conversion."""
    worst = found.worst
    where = "" if worst.label == "static" else f" at {worst.label}"
    text = (
        f"estimate: weights {span(worst.weights)}, activations {span(worst.peak)}{where}"
        f" ({found.target.precision_mode})"
    )
    if worst.unknown:
        text += f", and {worst.unknown} tensors of unknown size"
    if found.device is None:
        return text
    verdict = "" if found.verdict == "fits" else f": {found.verdict}, see graphfix explain memory"
    return f"{text}; {_share(worst, found.device)} of {size(found.device)}{verdict}"


def render(found: Memory) -> str:
    """Return the screen."""
    worst = found.worst
    soc = found.target.socs[0].name if found.target.socs else None
    chip = "no --soc given" if soc is None else f"{soc}, memory not known"
    if found.device is not None:
        chip = f"{soc}, {size(found.device)}"
    weights = f"weights {size(found.file_weights)} in the file, held as {span(worst.weights)}"
    head = [
        f"{found.path}   {weights}",
        f"Target   {chip}; {found.target.precision_mode}. An estimate from the graph; no ATC was "
        "run.",
    ]
    rows = [
        [p.label, span(p.peak), span(p.least), span(p.no_reuse), size(p.ports), span(p.total)]
        + ([_share(p, found.device)] if found.device is not None else [])
        for p in found.profiles
    ]
    heads = ["profile", "activations", "least", "no reuse", "in + out", "total"]
    if found.device is not None:
        heads.append("of chip")
    aligned = ("left", *["right"] * (len(heads) - 1))
    lines = [
        *(_wrap(h, "         ") for h in head),
        "",
        tabulate(rows, heads, disable_numparse=True, colalign=aligned),
    ]  # fmt: skip
    if worst.largest:
        at = f"most is live at {worst.at}" if worst.at else "most is live at the start"
        lines += ["", _wrap(f"Largest tensors of {worst.label}; {at} (*):")]
        lines.append(tabulate([_row(t) for t in worst.largest], tablefmt="plain",
                              disable_numparse=True))  # fmt: skip
    lines += ["", *map(_wrap, _advice(found))]
    return "\n".join(text.rstrip() for text in lines) + "\n"


def _row(tensor: Held) -> list[str]:
    dims = f"{tensor.dtype}[{','.join(map(str, tensor.shape))}]"
    return [
        size(tensor.bytes),
        "*" if tensor.live and tensor.kind != "weight" else "",
        tensor.kind,
        textwrap.shorten(dims, 30, placeholder="..."),
        f"{tensor.op_type} {_tail(tensor.node, 36)}".strip(),
    ]


def _tail(name: str, width: int) -> str:
    return name if len(name) <= width else "..." + name[3 - width :]


def _share(profile: Profile, device: int) -> str:
    low, high = (_percent(100 * n / device) for n in (profile.total.low, profile.total.high))
    return f"{high} %" if low == high else f"{low}-{high} %"


def _percent(share: float) -> str:
    return "<0.1" if share < 0.1 else f"{share:.1f}" if share < 10 else f"{share:.0f}"


def _advice(found: Memory) -> list[str]:
    worst = found.worst
    lines = [
        "activations: live at once, in the order of the graph; least: what one node needs; no "
        "reuse: all of them, as with --disable_reuse_memory=1. Not counted: workspace of kernels, "
        "padding, the runtime's own memory, what fusion saves."
    ]
    if worst.unknown:
        lines.append(
            f'{worst.unknown} tensors have no known size, so all figures are "at least": give '
            "--shape, or see `graphfix check MODEL` for what is dynamic."
        )
    if len(found.profiles) > 1:
        lines.append(f"An .om with profiles needs what its largest one needs: {worst.label}.")
    verdict = {
        "fits": "Fits, by this estimate. `npu-smi info` on the device shows what is free.",
        "tight": "Tight: workspace and other programs may not fit. graphfix explain memory",
        "too large": "Too large for this chip. What to do: graphfix explain memory",
        "unknown": "Give --soc S to compare with a chip; `npu-smi info` shows what yours has.",
    }  # fmt: skip
    if found.device is None and found.target.socs:
        lines.append("No table tells this chip's memory: `npu-smi info` on the device shows it.")
    else:
        lines.append(verdict[found.verdict])
    return lines


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip
