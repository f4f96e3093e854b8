"""The shapes of ATC's messages: which words name a node, a type, an option, a file.

All patterns run over text without any white space ("squeezed"), so that a line which a terminal,
a forum or a scanner broke in the middle of a word reads like a whole one. Brackets around values
are optional: CANN 8.1 writes them, the sources of 2026 do not.
"""

# ruff: noqa: E501 (a shape stands in one line, so that it can be read and searched)
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_NAME = r"\[?(?P<name>[^\s,]{1,1200}?)\]?"
_TYPE = r"\[*(?P<type>(?:[\w.\-]*:{1,2}-?\d+:{1,2})?[A-Za-z_]\w*)"
_OPTION = r"\[?(?P<parameter>-{0,2}\w{2,60})\]?"
_VALUE = r"\[?(?P<value>.{0,300}?)\]?"
_END = r"(?:PossibleCause|Solution|TraceBack|\[FUNC:|$)"
_REASON = rf"(?P<reason>.{{1,1500}}?)\.*{_END}"


@dataclass(frozen=True)
class Form:
    """One shape. `code` is the one that CANN gives to such a text; None: the header's."""

    pattern: re.Pattern[str]
    code: str | None
    is_weak: bool = False


def _form(code: str | None, pattern: str, is_weak: bool = False) -> Form:
    return Form(re.compile(pattern, re.IGNORECASE | re.DOTALL), code, is_weak)


# the strong ones: a text of this shape is this error, with or without a number
STRONG = (
    _form("E19010", rf"N[o0](?:operator)?(?:parser|plugin)(?:[il1]s|was)?reg[il1]steredf[o0]r[o0]p:?{_NAME},?[o0]pt?ype:?{_TYPE}"),
    _form("E19010", r"No(?:operator)?(?:parser|plugin)(?:is|was)?registeredforOp:?\[?(?P<name>[^\s,\[\]]{2,1200})$"),
    _form("EZ3003", r"NosupportedOpskerneland?enginea?refoundfor\[?(?P<name>[^\s,\[\]]{2,1200})$"),
    _form("E16002", rf"NoONNXparser(?:is)?registeredforopt?ype{_TYPE}"),
    _form("E11009", rf"NoCaffeparser(?:is)?registeredforOp{_NAME}(?:,|with)opt?ype{_TYPE}"),
    _form("E10501", rf"IRforOp{_NAME},?(?:with)?opt?ype:?{_TYPE}\]*,?isnotregistered"),
    _form("EZ3003", rf"N[o0]supp[o0]rted[o0]pskerneland?enginea?ref[o0]undf[o0]r{_NAME},[o0]pt?ype{_TYPE}"),
    _form("EZ3002", rf"Opt?ype{_TYPE}\]?ofOpskernel\[?(?P<library>\w+)\]?isunsupported(?:\.?Reason:"
                    rf"(?P<reason>.{{1,1500}}?)\.*(?:{_END}|Opt?ype\[))?"),
    _form(None, rf"FailedtocompileOp{_NAME}\.?\((?:oppath:.{{0,30000}}?)?opt?ype:{_TYPE}\]?\)"),
    _form(None, r"FailedtocompileOp\[?(?P<name>[^\s\[\],]{1,1200}?)\]?\.?\((?:oppath|opt?ype)"),
    _form("E19010", r"Thetype(?::[\w:.]{1,80})?isnotsupported\.?\"?\}?\]?,?\"name\":\"(?P<name>[^\"]{1,1200})\","
                    r"\"result\":\"failed\",\"type\":\"(?P<type>[\w.:\-]{1,200})\""),
    _form("E13024", rf"Value{_VALUE}forenvironmentvariable\[?(?P<variable>\w{{2,80}})\]?isinvalid(?:\.?Reason:{_REASON})?"),
    _form("E13024", r"\[?(?P<variable>ASCEND_\w{2,60})\]?isinvalid"),
    _form("W11001", rf"Op{_NAME}doesnothitthehigh-priority"),
    _form("E19009", rf"(?:Operator|Op|Node){_NAME}alreadyexists"),
    _form("E19009", rf"(?:duplicate|duplicated|repeated)(?:op|operator|node)?name:?{_NAME}(?:[.,;\[]|{_END})"),
    _form("E10016", rf"Opname{_NAME}specifiedin{_OPTION}isnotfound"),
    _form("E10017", rf"(?:InputOp|Opname|Op){_NAME}specifiedin{_OPTION}is(?:invalid|notaninput)"),
    _form("E11017", rf"Failedtofindnode{_NAME}specifiedby{_OPTION}(?:[.,]|$)"),
    _form("E10002", rf"Value{_VALUE}forparameter\[?(?P<parameter>--input_shape)\]?isinvalid\.Reason:"
                    rf"{_REASON}"),
    _form(None, rf"Value{_VALUE}(?:for|of)(?:parameter|option)?\[?(?P<parameter>--\w{{2,60}}|(?:(?<=parameter)|(?<=parameter\[))[^\s\[\],]{{1,300}}?)\]?"
                rf"is(?:invalid|outofrange)(?:\.?Reason:{_REASON})?"),
    _form("E13014", rf"Value{_VALUE}ofparameter{_OPTION}forOp{_NAME}isinvalid(?:\.Reason:{_REASON})?"),
    _form("E14001", rf"Argument{_VALUE}forOp{_NAME},?(?:with)?opt?ype{_TYPE}\]?isinvalid(?:\.Reason:"
                    rf"{_REASON})?"),
    _form("E10007", r"\[?(?P<parameter>--\w+)\]?isrequired"),
    _form("E10054", rf"Therequiredparameter{_OPTION}forATCisempty"),
    _form("E10004", r"Valuefor\[?(?P<parameter>--\w+)\]?isempty"),
    _form("E10048", r"Value\[?(?P<value>.{0,300}?)\]?forparameter\[?(?P<parameter>--input_shape_range)"),
    _form("E10049", r"Dimensioncount\[?(?P<given>\d+)\]?configuredin\[?(?P<parameter>--input_shape)\]?"
                    r".{0,40}?dimensioncount\[?(?P<wanted>\d+)"),
    _form("E10035", r"has\[?(?P<have>\d+)\]?profiles,whichislessthanthe\w{0,8}minimum[\[(]*(?P<limit>\d+)"),
    _form("E10036", r"has\[?(?P<have>\d+)\]?profiles,whichisgreaterthanthe\w{0,8}maximum[\[(]*(?P<limit>\d+)"),
    _form("E16005", r"Themodelhas\[?(?P<count>\d+)\]?\[?(?:--)?domain_version\]?field"),
    _form("E16001", r"Themodelhasno\[?(?P<what>input|output)\]?node"),
    _form("E16004", r"ONNXmodelhasnograph"),
    _form(None, rf"Failedto(?:open|read|write|parse|load)(?:the)?(?:json)?(?:file|model)(?:from)?"
                rf"\[?(?P<file>[^\s\[\],]{{1,500}}?)\]?(?:\.Reason:{_REASON}|\.(?![A-Za-z0-9_]{{1,8}}[.\]])|{_END})"),
    _form("E13015", r"File\[?(?P<file>[^\s\[\]]{1,500}?)\]?hasasizeof\[?(?P<size>\d+)"),
    _form("E13023", r"Model\[?(?P<file>[^\s\[\]]{1,500}?)\]?hasasizeof\[?(?P<size>\d+)"),
    _form("E10410", r"File\[?(?P<file>[^\s\[\]]{1,500}?)\]?doesnotexist"),
    _form("E40020", r"FailedtoimportPythonmodule\[?(?P<module>.{1,400}?)\.?\](?:\.|$|Poss|Sol|\[)"),
    _form("E40024", r"FailedtocallPython(?:func|function)\[?(?P<function>[\w.]{1,200})\]?"
                    rf"(?:.{{0,12}}?Reason:?\[?{_REASON})?"),
    _form("E20007", r"Failedtorun(?:the)?graphfusionpass\[?(?P<pass>\w{3,120}?)\]?(?:\.|,|The|$)"),
    _form("E13028", rf"Failedtoruncustomfusionpass\[?(?P<pass>\w{{3,120}}?)\]?\.(?:Returncode.{{0,40}}?)?(?:Reason:{_REASON})?"),
    _form("E22001", rf"(?:compileresult.{{0,20}}?notfound|Failedtogetcompileresult).{{0,30}}?\[{_NAME}\]"),
    _form("E10056", r"Cannotconfigurebothparameters\[?(?P<parameter>--?\w+?)\]?and\[?(?P<other>--?\w+?)\]?simul"),
    _form("E10057", r"\[?(?P<parameter>--\w+)\]?and\[?(?P<other>--\w+)\]?canonlybeusedtogether"),
    _form("E10009", r"--dynamic_batch_size.{0,90}?mutuallyexclusive"),
    _form("E10031", r"--dynamic_batch_size\]?isincluded,butnoneofthe"),
)  # fmt: skip

# the weak ones only help to say where: in trace lines, texts of the catch-alls, operators' own texts
_N = r"(?P<name>[^\s\[\]'\",(){}]{1,1200}?)"
_T = r"(?P<type>(?:[\w.\-]*::-?\d+::)?[A-Z][A-Za-z0-9_]{1,60})"
WEAK = tuple(
    Form(re.compile(p, re.DOTALL), None, True)
    for p in (
        rf"[Ff]ailedtocompileOp\[{_N}\]",
        rf"\[{_N}\]\[{_T}\]",
        rf"(?:[Pp]re-?)?[Cc]ompile(?:node|op)\[?{_N}\]?\.?(?:threadid|\[FUNC|failed|,|$)",
        rf"(?:for|of)?[Nn]ode:?\[?{_N}\({_T}\)",
        rf"[Nn]ode:\[?{_N}\]?,?(?:optype|type)(?:is|:)\[?(?P<type>[A-Z][a-z]*[A-Za-z0-9]*?)(?:,|\.|\]|$|should)",
        rf"(?:origin_op_name|op_?name|node_?name|opname|nodename)['\"]?[:=]?['\"\[]+{_N}['\"\]]",
        rf"(?:node_?name|op_?name|nodename|opname)[:=]{_N}(?=[,;(\[\]]|\.?$)",
        r"kernel_name=(?P<kernel>[\w./-]{1,300})",
        rf"[Oo]p\[{_N}\]",
        rf"(?:[Nn]ode|[Oo]perator|[Ll]ayer)\[{_N}\]",
        rf"\[Node:{_N}\]",
        rf"[Oo]p\[{_N},",
        r"opType:\[?\d*,?(?P<type>[A-Z][A-Za-z0-9]{1,60}?)(?=launch|\.|,|\]|$)",
        rf"[Oo]pt?ype:?\[{_T}\]",
        r"(?:算子|节点)(?:名称?|name)?(?:是|为|:)?\[?(?P<name>[\w./:\-]{2,300})\]?",
        r"类型(?:是|为|:)?\[?(?P<type>(?:[\w.\-]*::-?\d+::)?[A-Z]\w{1,60})\]?",
        rf"[Uu]nsupported(?:operator|optype|op):?\[?{_N}(?=[\],;]|\.?$|\[)",
        r"launchfailedfor(?P<type>[A-Z][A-Za-z0-9]{1,60}?),errno",
        r"operator(?P<type>[A-Z][A-Za-z0-9]{2,40})(?:has|is)(?:incorrect|required)",
    )
)

# what a catch-all may mean, by its words: headline, remedy, commands
CATCH_ALL = (
    (r"topolog|cycle|circle", "the graph has a cycle, or a tensor has two producers",
     "`graphfix check` names the nodes of the cycle; correct the export", ("graphfix check MODEL",)),
    (r"unsupportedonnxtensor|datatype\w*notsupport|notsupport\w*datatype|unsupported(?:tensor)?datatype",
     "a tensor has an element type that GE does not map",
     "Change the type in the export (uint4, float8, float4 and the like are not mapped)",
     ("graphfix check MODEL", "graphfix fix MODEL -o FIXED")),
    (r"domain\w{0,20}(?:notfound|notexist|isnot)|opsetversion\w{0,20}notfound",
     "a node's domain has no opset in the model", "Add the opset_import of the domain",
     ("graphfix check MODEL",)),
    (r"infer_?(?:shape|datatype|format)\w*(?:failed|fail|func)|inferShape(?:AndType)?.{0,80}?fail",
     "the shape or type of a node could not be inferred",
     "Check that --input_shape is what the model was made for; bind all dims, or let a rule write the "
     "node otherwise",
     ("graphfix check MODEL --soc SOC --shape NAME=...", "graphfix fix MODEL -o FIXED --soc SOC")),
    (r"unsupported(?:operator|optype|op)", "an operator is not supported",
     "Let a rule write it otherwise, or replace it in the export",
     ("graphfix check MODEL --soc SOC", "graphfix fix MODEL -o FIXED --soc SOC")),
    (r"oppversion\w*doesnotmatch|omArchVersion|modelcompatibility|ArchVersionfailed",
     "the .om was made by another CANN, or for another chip",
     "Convert again with the CANN and the --soc_version of the machine that runs it",
     ("graphfix convert MODEL --soc SOC",)),
    (r"tiling.{0,40}?fail|dotiling", "the operator could not plan its work for these shapes",
     "Change shape or type of the node, bind dynamic dims, or cut the model there",
     ("graphfix check MODEL --soc SOC", "graphfix fix MODEL -o FIXED --soc SOC")),
    (r"(?:malloc|alloc\w*)\w{0,20}(?:fail|error)|outofmemory|memoryisnotenough|insufficientmemory",
     "memory ran out",
     "Use smaller profiles or a smaller batch, and see `graphfix explain oom`",
     ("graphfix convert MODEL --soc SOC --batch 1,2",)),
    (r"ai(?:core|vec)(?:execution|kernel)?\w{0,20}(?:abnormal|exception|executefailed)|kernelexecutefailed|aivecerror|vectorcoreexception",
     "a kernel failed while running on the device",
     "This is a run, not a conversion: compare the .om with the ONNX layer by layer, and report it",
     ("graphfix compare MODEL OM",)),
    (r"expan\w{0,12}(?:node|onetomany|failed)|parsesubgraphpost|onetomany",
     "the plugin could not expand a node",
     "An input that the expansion needs is missing or has another form; let a rule write it otherwise",
     ("graphfix check MODEL", "graphfix fix MODEL -o FIXED")),
)  # fmt: skip


@dataclass(frozen=True)
class Squeezed:
    """A text without white space, and where each of its characters came from."""

    text: str
    original: str
    places: list[int] = field(repr=False)

    @staticmethod
    def of(original: str) -> Squeezed:
        """Squeeze a text."""
        places = [i for i, c in enumerate(original) if not c.isspace()]
        return Squeezed("".join(original[i] for i in places), original, places)

    def words(self, start: int, end: int) -> str:
        """Return the original words behind a stretch, with single blanks."""
        if start >= end:
            return ""
        return " ".join(self.original[self.places[start] : self.places[end - 1] + 1].split())


_OTHER_BRACKETS = str.maketrans("(){}|", "[][][")


def rebracketed(text: str) -> str:
    """Return a text with the brackets that CANN writes, where a writer or scanner made others."""
    return re.sub(r"[\"'`]([^\"'`\s]{1,1200})[\"'`]", r"[\1]", text).translate(_OTHER_BRACKETS)


@dataclass(frozen=True)
class Found:
    """What one shape found: groups without blanks in names, with them in the rest."""

    form: Form
    start: int
    groups: dict[str, str]


# groups that hold words; all others are one word
_WORDS = frozenset({"reason", "value", "module", "file"})
_SEEDS = re.compile(
    r"reg[il1]st|kernel|engine|compile|parameter|already|duplicat|repeated|specifiedin|specifiedby|invalid"
    r"|required|empty|issupported|isnotsupported|ASCEND_|dimensioncount|profiles|domain_version|hasno|failedto|asizeof|notexist|import"
    r"|fusion|result|together|exclusive|included|argument|outofrange",
    re.IGNORECASE,
)


def find_strong(text: Squeezed) -> list[Found]:
    """Return the strong shapes in a text, in its order; of several that overlap, the first."""
    if not _SEEDS.search(text.text):
        return []
    taken: list[tuple[int, int]] = []
    found = []
    for form in STRONG:
        for match in form.pattern.finditer(text.text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            found.append(_found(form, match, text))
    return sorted(found, key=lambda f: f.start)


def find_weak(text: Squeezed) -> Iterator[Found]:
    """Yield the weak shapes in a text."""
    for form in WEAK:
        for match in form.pattern.finditer(text.text):
            yield _found(form, match, text)


def _found(form: Form, match: re.Match[str], text: Squeezed) -> Found:
    groups = {}
    for key, value in match.groupdict().items():
        if value:
            groups[key] = text.words(*match.span(key)) if key in _WORDS else value
    if ":" in groups.get("type", ""):
        groups["type"] = re.sub(":+", "::", groups["type"])
    return Found(form, match.start(), groups)
