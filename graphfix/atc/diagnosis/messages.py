"""From lines to messages: which lines belong to a code, where runs begin and end."""

# ruff: noqa: E501, SIM905 (a pattern stands in one line, so that it can be read and searched)
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphfix.atc.diagnosis.forms import Squeezed, find_strong
from graphfix.atc.diagnosis.reading import Line
from graphfix.atc.diagnosis.spotting import Spot, codes_in

_MOST_LINES = 400  # of one message; a stack of a kernel compiler has some hundred
_MOST_CHARACTERS = 60_000
_MOST_MESSAGES = 20_000  # of one run
_MOST_KEPT = 8_000_000  # characters of all messages of a run; further ones keep their first lines
_LOOSE_LINES = 8  # lines without a code that are read together, so that a broken one is whole
_MOST_SEEN = 12  # lines that look like errors and say nothing known


@dataclass
class Message:
    """A code with its text. `code` is None where only the words tell which error it is.

    `nested` are codes inside the text (a kernel compiler's own); `count` how often the same came.
    """

    code: str | None
    line: int
    source: str
    level: str | None = None
    lines: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    count: int = 1
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no further line is kept."""
        return len(self.lines) >= _MOST_LINES or self.size >= _MOST_CHARACTERS

    def add(self, text: str) -> None:
        """Add a line; what exceeds the limits is dropped."""
        if not self.is_full:
            self.lines.append(text)
            self.size += len(text)

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)


@dataclass
class Run:
    """One run of ATC in a log, from its first words to its last.

    `outcome`: failed, succeeded, or None when the log does not tell. `events` are what happened
    besides codes: killed, disk-full ... with the line that says so.
    """

    number: int
    source: str
    first: int
    last: int = 0
    outcome: str | None = None
    started: bool = False
    messages: list[Message] = field(default_factory=list)
    events: dict[str, tuple[str, int]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    errors: int = 0
    kept: int = 0  # characters

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ATC was met."""
        return not (self.started or self.outcome or self.messages or self.events or self.errors)


# ---------------------------------------------------------------------- what else a log says

_START = re.compile(r"ATC\s*start\s*working", re.IGNORECASE)
_END = re.compile(r"ATC\s*run\s*(?:(?P<good>succ)|fa[il1|]{1,2}e?d?)", re.IGNORECASE)
_EVENTS = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("killed", r"(?:^|\s)killed\s*(?:$|\s+(?:\S*/)?atc\b)|out of memory: kill|oom[-_ ]kill|已杀死|exit (?:code|status):? ?137"
                   r"|signal (?:9|SIGKILL)\b|SIGKILL"),
        ("disk-full", r"no space left on device|disk (?:is )?full|disk quota exceeded|设备上没有空间|磁盘空间不足|Errno 28"),
        ("crashed", r"segmentation fault|段错误|core dumped|吐核|已放弃|SIGSEGV|SIGABRT|terminate called after|double free or corruption"),
        ("no-memory", r"std::bad_alloc|cannot allocate memory|无法分配内存|(?:^|\s)MemoryError\b"),
        ("no-atc", r"\batc(?:\.bin)?: (?:command )?not found|\batc: 未找到命令|\batc: No such file|command not found: atc"),
        ("library", r"error while loading shared libraries: *(?P<what>[\w.+-]+)|ImportError: (?P<what2>lib[\w.+-]+)"),
        ("flag", r"unknown command ?line flag *['\"]?(?P<what>[\w-]+)|unrecognized option *['\"‘]?(?P<what2>[\w-]+)"),
        ("module", r"(?:ModuleNotFoundError|ImportError): *(?P<what>No module named ['\"]?[\w.]+)|(?P<what2>np\.\w+_? was removed)"
                   r"|(?P<what3>module ['\"]?numpy['\"]? has no attribute ['\"]?\w+)"),
        ("denied", r"permission denied|权限不够|Operation not permitted"),
        ("interrupted", r"(?:^|\s)Terminated$|已终止$|KeyboardInterrupt|received signal (?:2|15)\b"),
    )
)  # fmt: skip
_EVENT_WORDS = (
    "kill space disk quota 空间 fault 段错误 core 吐核 terminat free sig alloc 分配 memory notfound 未找到 nosuchfile shared flag"
    " option error removed attribute denied permitted 权限 已 errno 137 interrupt"
).split()  # fmt: skip
_ERROR_HINT = re.compile(
    r"\berror\b|\bfail(?:ed|ure)?\b|exception|not support|unsupported|invalid|错误|失败|不支持",
    re.IGNORECASE,
)
_LOOSE_WORDS = (
    "optype opkernel opskernel registered compileop parameter failedto domain_version fusionpass sizeof modelhas"
    " profiles dimensioncount alreadyexists importpython callpython notsupported ascend_ specified high-priority"
    " notexist exclusive included together both isempty required compileresult variable"
).split()  # fmt: skip


def _holds(words: list[str], text: str) -> bool:
    """Whether a text holds one of the words, in any case and however it is spaced."""
    plain = text.lower().replace(" ", "")
    return any(word in plain for word in words)


# a line without any of this says nothing while no message is open; searched without blanks, in
# lower case. Lines with signs beyond ASCII, colours or what may be a code are all read
_INTEREST = [
    word.encode()
    for word in (
        "atcrun atcstart notfound nosuchfile opskernel registeredfor optype compileop alreadyexists forparameter ofparameter"
        " specifiedin specifiedby isrequired isnotregistered isinvalid isempty domain_version modelhas asizeof"
        " notexist importpython callpython fusionpass compileresult configureboth usedtogether exclusive profiles"
        " dimensioncount supported ascend_ environmentvariable failedto outofrange kill nospace disk quota fault"
        " coredump terminat doublefree sigsegv sigabrt alloc memory sharedlibrar commandlineflag unrecognized"
        " importerror modulenotfound wasremoved noattribute denied permitted keyboardinterrupt signal errno"
        " exitcode exitstatus"
    ).split()
]  # fmt: skip
_ERRORLIKE = (b"error", b"fail", b"exception", b"unsupported", b"invalid")
_CODELIKE = re.compile(
    rb"(?<![A-Za-z0-9_/\\-])[EeWw] ?[0-9A-Za-z|!][0-9OoQDlI|!iSsBZz]{4}|[\x1b\x80-\xff]"
)
_MOST_SHAPES = 50_000


def read_messages(lines: Iterable[Line]) -> list[Run]:
    """Read the lines of one or more logs; returns the runs in them, at least one."""
    reader = _Reader()
    for line in lines:
        reader.take(line)
    return reader.finish()


class _Reader:
    """Walks over the lines; keeps the run and the message that are open."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._run: Run | None = None
        self._message: Message | None = None
        self._prefix: re.Pattern[str] | None = None
        self._loose: list[Line] = []
        self._known: dict[tuple[object, ...], Message] = {}
        self._shapes: dict[bytes, tuple[bool, bool]] = {}
        self._mentions: list[tuple[Spot, Line]] = []

    def take(self, line: Line) -> None:
        """Read one line."""
        run = self._run
        if run is None or run.source != line.source:
            run = self._open(line)
        run.last = line.number
        if self._is_idle and self._says_nothing(line.raw):
            return
        text = line.text
        if self._prefix is not None:
            text = self._prefix.sub("", text, count=1)
        if not text.strip():
            return
        self._boundaries(text, line)
        spots = codes_in(text)
        heads = [s for s in spots if s.kind == "head"] or self._promoted(spots, text)
        if heads:
            self._heads(heads, text, line)
        elif line.level is not None:
            self._plog(text, spots, line)
        elif self._message is not None:
            self._message.add(text)
        else:
            self._mentions += [(s, line) for s in spots][:50]
            self._note_loose(text, line)
        message = self._message
        if message is not None:
            message.nested += [s.code for s in spots if s.kind == "nested"
                               and s.code != message.code and s.code not in message.nested]  # fmt: skip
        if _holds(_EVENT_WORDS, text):
            self._events(text, line)

    @property
    def _is_idle(self) -> bool:
        """Whether no line is waited for: no message is open, or the open one is full."""
        message = self._message
        return not self._loose and (message is None or message.is_full)

    def _says_nothing(self, raw: bytes) -> bool:
        """Whether a line can be passed over; lines that differ in numbers alone are judged once."""
        if _CODELIKE.search(raw):
            return False
        shape = raw.translate(None, b"0123456789")
        judged = self._shapes.get(shape)
        if judged is None:
            words = raw.lower().replace(b" ", b"")
            judged = (any(w in words for w in _INTEREST), any(w in words for w in _ERRORLIKE))
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            self._shapes[shape] = judged
        run = self._run
        matters = judged[0] or (judged[1] and run is not None and len(run.seen) < _MOST_SEEN)
        return not matters

    def _promoted(self, spots: list[Spot], text: str) -> list[Spot]:
        """A code in prose heads a message after all when the words of one stand behind it."""
        if self._message is not None:
            return []
        for spot in spots:
            if find_strong(Squeezed.of(text[spot.end :])):
                return [spot]
        return []

    def _open(self, line: Line) -> Run:
        self._close()
        self._run = Run(len(self.runs) + 1, line.source, line.number)
        self.runs.append(self._run)
        self._known.clear()
        self._mentions.clear()
        return self._run

    def _boundaries(self, text: str, line: Line) -> None:
        assert self._run is not None
        if "ATC" not in text and "atc" not in text:
            return
        if _START.search(text):
            run = self._run
            if run.is_empty:
                self._close()
            else:
                run.last = line.number - 1 if line.number > run.first else line.number
                run = self._open(line)
            run.started = True
            run.last = line.number
        end = _END.search(text)
        if end is not None:
            self._close()
            run = self._run
            if run.outcome is not None and run.started is False and run.outcome != "failed":
                run = self._open(line)
            run.outcome = "succeeded" if end["good"] else "failed"

    def _heads(self, heads: list[Spot], text: str, line: Line) -> None:
        for index, spot in enumerate(heads):
            end = heads[index + 1].start if index + 1 < len(heads) else len(text)
            # a second code with a colon inside one text is the compiler's own
            current = self._message
            goes_on = (
                current is not None and current.code == spot.code
                and not re.match(r"\s*\)?\s*:", text[spot.end :])
            )  # fmt: skip
            if goes_on and current is not None:
                current.add(text[spot.end : end])
                continue
            self._close()
            if index == 0:
                self._learn_prefix(text[: spot.start])
            self._message = Message(spot.code, line.number, line.source, line.level)
            self._message.add(_without_stamp(text[spot.end : end]))

    def _learn_prefix(self, before: str) -> None:
        """What stands before the first line of a message may stand before each of its lines."""
        self._prefix = None
        if re.search(r"\w", before) and not _END.search(before) and len(before) < 120:
            generic = re.sub(r"\d+", r"\\d+", re.escape(before.strip()))
            self._prefix = re.compile(rf"^\s*{generic}\s*")

    def _plog(self, text: str, spots: list[Spot], line: Line) -> None:
        """A plog line stands for itself."""
        assert self._run is not None
        self._close()
        named = [s for s in spots if s.kind == "nested"]
        if line.level in ("ERROR", "CRITICAL", "WARNING"):
            self._run.errors += line.level != "WARNING"
            code = named[0].code if named else None
            if code is None and line.level != "WARNING" and len(self._run.seen) < _MOST_SEEN:
                self._run.seen.append(text.strip()[:300])
            if code is not None or _holds(_LOOSE_WORDS, text):
                self._message = Message(code, line.number, line.source, line.level)
                self._message.add(_without_stamp(text))

    def _note_loose(self, text: str, line: Line) -> None:
        run = self._run
        assert run is not None
        if _ERROR_HINT.search(text) and not _END.search(text) and len(run.seen) < _MOST_SEEN:
            run.seen.append(text.strip()[:300])
        if not self._loose and not _holds(_LOOSE_WORDS, text):
            return
        self._loose.append(line)
        if len(self._loose) >= _LOOSE_LINES:
            self._close_loose(keep=_LOOSE_LINES // 2)

    def _close_loose(self, keep: int = 0) -> None:
        """Look for messages without a code in the last lines that had none."""
        lines, self._loose = self._loose, []
        if not lines or self._run is None:
            return
        message = Message(None, lines[0].number, lines[0].source)
        for line in lines:
            message.add(line.text)
        if find_strong(Squeezed.of(message.text)):
            self._store(message)
        elif keep:
            self._loose = lines[-keep:]

    def _close(self) -> None:
        self._close_loose()
        message, self._message = self._message, None
        self._prefix = None
        if message is not None:
            self._store(message)

    def _store(self, message: Message) -> None:
        run = self._run
        assert run is not None
        if message.code is None and not find_strong(Squeezed.of(message.text)):
            return
        key = (
            message.code,
            re.sub(r"0x[0-9a-fA-F]+|\d{9,}", "", "".join(message.text.split()))[:2000],
        )
        same = self._known.get(key)
        if same is not None:
            same.count += 1
        elif len(run.messages) < _MOST_MESSAGES:
            run.kept += message.size
            if run.kept > _MOST_KEPT:
                message.lines = [line[:2000] for line in message.lines[:4]]
            self._known[key] = message
            run.messages.append(message)

    def _events(self, text: str, line: Line) -> None:
        run = self._run
        assert run is not None
        for name, pattern in _EVENTS:
            match = pattern.search(text)
            if match is not None and name not in run.events:
                what = next((v for v in match.groupdict().values() if v), "")
                run.events[name] = (what or text.strip()[:300], line.number)

    def finish(self) -> list[Run]:
        """Close what is open and return the runs."""
        self._close()
        for run in self.runs:
            run.seen = run.seen[:_MOST_SEEN]
        if len(self.runs) == 1 and not self.runs[0].messages:
            # only prose names a code: better than nothing
            for spot, line in self._mentions:
                message = Message(spot.code, line.number, line.source)
                message.add(_without_stamp(line.text))
                self._store(message)
        filled = [run for run in self.runs if not run.is_empty] or self.runs[:1]
        for number, run in enumerate(filled, 1):
            run.number = number
        return filled or [Run(1, "", 1)]


def _without_stamp(text: str) -> str:
    """Drop what stands between a code and its words: colon, process, time."""
    return re.sub(
        r"^\s*\)?\s*[:;]?\s*(?:\[\s*PID\s*:\s*\d+\s*\])?\s*(?:\d{4}-\d\d-\d\d[-\dT:. ]{6,22}\d)?\s*:?\s*",
        "", text,
    )  # fmt: skip
