"""The file of ATC's --fusion_switch_file: which graph and UB fusions are switched off.

Format: CANN's atc guide, page "--fusion_switch_file" (8.0 and 8.5): Switch, then GraphFusion and
UBFusion, then a pass or ALL, then on or off. Which of the two kinds a pass belongs to is told by no
table that graphfix has, so a pass is named under both; ATC uses the entry of the right kind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from graphfix.errors import UsageError, nearest

ALL = "ALL"
KINDS = ("GraphFusion", "UBFusion")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def fusion_switch(off: Sequence[str], on: Sequence[str] = (), kinds: Sequence[str] = KINDS) -> str:
    """Return the file's text.

    Args:
        off: passes to switch off, by the names that ATC uses; `ALL` for all that may be.
        on: passes that stay on beside `ALL`.
        kinds: GraphFusion, UBFusion, or both.

    Raises:
        UsageError: no pass, a name that cannot be one, or a pass that is both off and on.
    """
    if not off:
        raise UsageError("--off: name at least one fusion pass, or ALL.")
    for option, names in (("--off", off), ("--on", on)):
        for name in names:
            if not _NAME.match(name):
                raise UsageError(
                    f"{option} {name!r}: is no name of a fusion pass. They are words such as "
                    "ConvBatchnormFusionPass, with upper and lower case as ATC writes them, parted "
                    "by commas."
                )
            if name.upper() == ALL and (name != ALL or option == "--on"):
                raise UsageError(f"{option} {name}: write --off ALL; --on keeps passes on.")
    both = sorted(set(off) & set(on))
    if both:
        raise UsageError(f"{', '.join(both)}: is in --off and in --on; give one.")
    if on and ALL not in off:
        raise UsageError("--on: every pass is on unless it is switched off; it needs --off ALL.")
    switches = {**dict.fromkeys(off, "off"), **dict.fromkeys(on, "on")}
    return json.dumps({"Switch": dict.fromkeys(kinds, switches)}, indent=1) + "\n"


def unknown_passes(names: Sequence[str], result: object) -> list[str]:
    """Return a sentence for each name that is not in ATC's own fusion_result.json.

    ATC writes that file beside the .om and names in it every pass that matched the model, with how
    often it matched and took effect. It is searched for names at any depth.
    """
    known = sorted(_passes(result))
    return [
        f"{name}: fusion_result.json names no such pass. {nearest(name, known)}".rstrip()
        for name in names
        if name != ALL and name not in known
    ]


def _passes(document: object) -> set[str]:
    if isinstance(document, list):
        return {name for entry in document for name in _passes(entry)}
    if not isinstance(document, dict):
        return set()
    found = set()
    for key, entry in document.items():
        if isinstance(entry, dict) and {"match_times", "effect_times"} & set(entry):
            found.add(str(key))
        else:
            found |= _passes(entry)
    return found
