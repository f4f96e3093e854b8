"""From one message to one cause: which error it is, what it says, which nodes it names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from graphfix.atc.codes import AtcCode, atc_events, describe_unlisted, find_atc_code
from graphfix.atc.diagnosis.cause import Cause, Reading
from graphfix.atc.diagnosis.forms import (
    CATCH_ALL,
    Found,
    Squeezed,
    find_strong,
    find_weak,
    rebracketed,
)
from graphfix.atc.diagnosis.messages import Message, Run
from graphfix.atc.diagnosis.naming import NamedNode, Names

_NOT_A_NAME = re.compile(
    r"^(?:\d+|[A-Z_]+|FUNC:.*|FILE:.*|LINE:.*|[\w.]+\.(?:cc|cpp|py|h)|Pre-Comp|SubGraphOpt|Build|Op"
    r"|Exec|Model|GERootModel|SingleOpModel|online|N/A|None|true|false|failed|success)$"
)
_NOT_A_TYPE = frozenset(
    {"Op", "Pre-Comp", "SingleOpModel", "Model", "GERootModel", "Node", "Params", "Shape", "Graph",
     "Get", "Call", "Check"}
)  # fmt: skip
_OPTION_IN_TEXT = re.compile(r"\[?(?P<option>--\w{3,60})\]?")
_OPTION_NAME = re.compile(r"^-{0,2}(?P<name>[a-z][a-z0-9_]{2,60})$")
_BRACKETED = re.compile(r"\[([^\[\]\s]{1,1200})\]")
_WORD = re.compile(r"\[([^\[\]\s,]{1,1200})\]?|([^\s\[\](),;'\"`]{2,1200})")
_OPEN_DIM = re.compile(r"input[_ ]shape|-1", re.IGNORECASE)
_PYTHON_ERROR = re.compile(r"\s*(?:\w+\.)*\w*(?:Error|Exception)\b.{0,3}:")


def event_of(name: str, what: str, line: int, run: Run) -> Cause:
    """Return the cause for something that a log tells besides codes."""
    entry = atc_events()[name]
    headline = entry.headline
    if name == "flag" and what:
        headline = f"atc does not know the option --{what.lstrip('-')}"
    elif name == "library" and what:
        headline = f"the shared library {what} is missing"
    elif name == "module" and what:
        headline += f": {what}"
    facts = {"what": " ".join(what.split())} if what else {}
    return Cause(
        name, headline, entry.cause, entry.remedy, entry.stage, "error", run.number, line,
        run.source, entry.certainty, entry.source, facts=facts,
        commands=list(entry.helps), text=what,
    )  # fmt: skip


# ---------------------------------------------------------------------- one message


def unexplained(run: Run, reading: Reading) -> Cause:
    """Return the cause of a failure without a known code: what its lines name all the same."""
    cause = event_of("unexplained", "", run.last, run)
    squeezed = Squeezed.of("\n".join(run.seen))
    cause.nodes = merged(_weak_nodes(squeezed, reading.names)) if run.seen else []
    for pattern, headline, remedy, commands in CATCH_ALL:
        if re.search(pattern, squeezed.text, re.IGNORECASE):
            cause.facts["meaning"] = headline
            cause.remedy = f"{remedy}. {cause.remedy}"
            cause.commands = [*commands, *cause.commands]
            break
    return cause


def cause_of(message: Message, run: Run, reading: Reading) -> Cause | None:
    """Return the cause that a message tells; None when it has no code and no known words."""
    squeezed = Squeezed.of(message.text)
    strong = find_strong(squeezed)
    listed = find_atc_code(message.code) if message.code is not None else None
    is_named = any("name" in f.groups or "type" in f.groups for f in strong)
    if listed is not None and listed.role in ("operator", "names") and not is_named:
        strong = find_strong(Squeezed.of(rebracketed(message.text))) or strong
    code = message.code
    implied = list(dict.fromkeys(f.form.code for f in strong if f.form.code))
    if code is None:
        if not implied:
            return None
        code = _numbered(implied[0], reading.release)
    entry = find_atc_code(code) or describe_unlisted(code)
    if entry.is_catch_all and implied and message.code is not None:
        # the words are those of a known error: the number in front is only the envelope
        first = find_atc_code(implied[0])
        if first is not None and not first.is_warning:
            message.nested.insert(0, code)
            code = _numbered(implied[0], reading.release)
            entry = first if code == first.code else find_atc_code(code) or first
    cause = Cause(
        code, entry.headline, entry.cause, entry.remedy, entry.stage,
        "warning" if entry.is_warning else "error", run.number, message.line, message.source,
        entry.certainty if message.code is not None else "medium", entry.source,
        findings=entry.findings, commands=list(entry.helps), count=message.count, role=entry.role,
        text=_excerpt(message.text),
    )  # fmt: skip
    others = [
        _numbered(c, reading.release)
        for c in implied
        if (e := find_atc_code(c)) is not None and e.role == entry.role != "cause"
    ]
    cause.also = [c for c in dict.fromkeys([*message.nested, *others])
                  if c != code and not is_twin(c, code)]  # fmt: skip
    _read_facts(cause, strong, message, squeezed)
    cause.nodes = _nodes(cause, entry, strong, squeezed, reading)
    return cause


def is_twin(one: str, other: str) -> bool:
    """Whether two numbers are one error in two numberings."""
    a, b = find_atc_code(one), find_atc_code(other)
    return a is not None and b is not None and a.canonical == b.canonical


def _numbered(code: str, release: str) -> str:
    """Return a code that was told by its words in the numbering of the log."""
    if release != "8.1" and code.startswith("E190"):
        entry = find_atc_code(code)
        return entry.canonical if entry is not None else code
    return code


def _excerpt(text: str) -> str:
    """Return the words of a message, up to what ATC adds to each."""
    words = " ".join(text.split())
    words = re.split(r"\s*(?:Possible Cause|Solution|TraceBack \(most)\b", words)[0] or words
    return words[:600]


def _read_facts(cause: Cause, strong: list[Found], message: Message, squeezed: Squeezed) -> None:
    facts = cause.facts
    for found in strong:
        for key, value in found.groups.items():
            if key not in ("name", "type") and value and key not in facts:
                facts[key] = value.strip(" .")
    if "file" in facts:
        facts["file"] = facts["file"].strip("[]. ")
    if "reason" not in facts:
        reason = re.search(
            r"Reason:(.{2,800}?)\.*(?:PossibleCause|Solution|TraceBack|$)", squeezed.text
        )
        if reason is not None:
            facts["reason"] = squeezed.words(*reason.span(1)).strip(" .[]")
    if cause.stage == "options" or "parameter" in facts:
        named = facts.get("parameter") or ""
        if named and not named.startswith("-") and _OPEN_DIM.search(facts.get("reason", "")):
            # releases until 8.x put the input's name where the option's name belongs
            facts["input"], named = named, "--input_shape"
        option = _OPTION_IN_TEXT.search(squeezed.text)
        if not _OPTION_NAME.match(named) and option is not None:
            named = option["option"]
        match = _OPTION_NAME.match(named)
        if match is not None:
            facts["parameter"] = f"--{match['name']}"
    if cause.role == "python" and "module" not in facts:
        module = re.search(r"\[((?:\w+Error|No module)[^\]]{3,300})", message.text)
        if module is not None:
            facts["module"] = " ".join(module[1].split())
    if cause.code in ("E20007", "E13028", "E19028") and "pass" not in facts:
        named_pass = re.search(r"(\w{3,100}(?:Pass|pass|Fusion))\b", message.text)
        if named_pass is not None:
            facts["pass"] = named_pass[1]
    if cause.role == "operator" and cause.code in ("E40021", "E20001"):
        stack = [line.strip() for line in message.lines
                 if _PYTHON_ERROR.match(line.strip())]  # fmt: skip
        if stack:
            facts["compiler"] = stack[-1][:300]
    if cause.role == "catch-all":
        for pattern, headline, remedy, commands in CATCH_ALL:
            if re.search(pattern, squeezed.text, re.IGNORECASE):
                facts["meaning"] = headline
                cause.remedy, cause.commands = remedy, list(commands)
                break


def _nodes(
    cause: Cause, entry: AtcCode, strong: list[Found], squeezed: Squeezed, reading: Reading
) -> list[NamedNode]:
    names = reading.names
    found: list[NamedNode] = []
    shape = cause.facts.get("input")
    if shape:
        return [names.value(shape) or NamedNode(shape, kind="input")]
    is_option = entry.canonical in ("E10016", "E10017", "E10034", "E11016", "E11017")
    for hit in strong:
        raw, key = hit.groups.get("name", ""), hit.groups.get("type")
        if is_option and raw:
            value = names.value(raw)
            found.append(value or NamedNode(raw, kind="input"))
        elif raw or key:
            found += names.resolve(_bare(raw), key)
    if not found and is_option:
        found = [n for n in _word_nodes(squeezed.original, names) if n.kind == "input" or n.node]
        found = found or [
            NamedNode(b, kind="input") for b in _BRACKETED.findall(_words_of(squeezed.original))[:1]
        ]
    elif not found and entry.role in ("operator", "names"):
        found = _word_nodes(squeezed.original, names)
    if not found and entry.role in ("operator", "names", "catch-all"):
        found = _weak_nodes(squeezed, names)
    if entry.canonical == "E13009" and not any(n.node for n in found):
        found += names.twins()
    if entry.canonical == "E16005":
        found += names.foreign()
    return merged(found)


def _words_of(text: str) -> str:
    """Return the words of a message without what ATC adds: causes, solutions, traces."""
    return re.split(r"(?:Possible\s+Cause|Solution|Trace[Bb]ack)\b", text)[0] or text


def _word_nodes(text: str, names: Names) -> list[NamedNode]:
    """Return the nodes that a message of no known shape names: words that are names or types."""
    text = _words_of(text)
    found: list[NamedNode] = []
    loose: list[str] = []
    pending: str | None = None
    for match in _WORD.finditer(text):
        word = _bare(match[1] or match[2])
        if not word or _NOT_A_NAME.match(word):
            continue
        if "::" in word:
            found += names.resolve(pending or "", word)
            pending = None
        elif names.knows(word):
            if pending is not None:
                found += names.resolve(pending, None)
            pending = word
        elif match[1] and names.model is None:
            loose.append(word)
    if pending is not None:
        found += names.resolve(pending, None)
    if not found and loose:
        # without a model: what stands in brackets and looks like a name, and the type behind it
        name = next((w for w in loose if re.search(r"[/_\d]", w)), "")
        key = next((w for w in loose if re.fullmatch(r"[A-Z][A-Za-z0-9]+", w) and w != name), None)
        if name or key:
            found = names.resolve(name, key)
    return found


def _weak_nodes(squeezed: Squeezed, names: Names) -> list[NamedNode]:
    """Return the nodes that only trace lines name: those of the model, else the first named."""
    hits: list[NamedNode] = []
    for hit in find_weak(squeezed):
        raw, key = _bare(hit.groups.get("name", "")), hit.groups.get("type")
        if "kernel" in hit.groups:
            # 177...-1_0_1_<node>: numbers of the model in front of the node's name
            raw = re.sub(r"^\d+-(?:\d+_)+", "", hit.groups["kernel"])
            raw = raw if "/" in raw else ""
        if _NOT_A_NAME.match(raw) or "=" in raw or _is_tag(raw, hit):
            raw = key = ""
        if key in _NOT_A_TYPE:
            key = None
        if raw or key:
            hits += names.resolve(raw, key)
    known = [n for n in hits if n.node is not None and n.by not in ("type", "cut")]
    if known:
        return known
    if names.model is None or not hits:
        named = [n for n in hits if n.raw and (n.key or re.search(r"[/\d]", n.raw))] or hits
        return named[:20]
    return hits[:50]


def _is_tag(raw: str, hit: Found) -> bool:
    """Whether two brackets are only the marks with which GE begins its lines: [Call][PreRun]."""
    pair = hit.form.pattern.pattern.startswith(r"\[") and "type" in hit.groups
    return pair and re.search(r"[/_\d]", raw) is None


def _bare(raw: str) -> str:
    return raw.strip("[]'\"`.,;:") if raw else ""


def merged(nodes: Iterable[NamedNode]) -> list[NamedNode]:
    """Drop what is said twice; an entry without a name gives way to one of its type with a name."""
    unique: dict[tuple[str | None, str], NamedNode] = {}
    for node in nodes:
        # one node of the model may stand behind several names of the log (profiles, expansions)
        mark = (node.node, node.scope) if node.node is not None else (None, node.raw)
        old = unique.get(mark)
        vague = old is not None and old.by in ("type", "only") and node.by not in ("type", "only")
        if (
            old is None
            or vague
            or (old.key is None and node.key is not None and node.raw != node.key)
        ):
            unique[mark] = node
    found = list(unique.values())
    named = {n.op_type for n in found if n.raw not in (n.key, "") and n.op_type}
    keep = [n for n in found if not (n.raw == n.key and n.node is None and n.op_type in named)]
    if any(n.by not in ("type", None) for n in keep):
        exact = {n.op_type for n in keep if n.node is not None and n.by != "type"}
        keep = [n for n in keep if n.by != "type" or n.op_type not in exact]
    return keep
