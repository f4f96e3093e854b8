"""Lines of logs, whatever encoding and dress they come in; read as a stream, never as a whole."""

from __future__ import annotations

import codecs
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from graphfix.errors import UsageError

_LONGEST = 1 << 16  # bytes; a longer line is read in pieces
_BLOCK = 1 << 16

# what CANN writes below ~/ascend/log, and what people call logs
_LOG_NAMES = re.compile(r"\.(log|txt|out|err)(\.\d+)?$|^(plog|log)\b", re.IGNORECASE)


class Line:
    """One line; `number` counts from 1 in `source`, `raw` are its bytes.

    `text` is what it says without its dress, `level` that of a plog line, None elsewhere. Both are
    worked out when they are asked for: of a large log few lines matter.
    """

    __slots__ = ("_level", "_text", "number", "raw", "source")

    def __init__(self, raw: bytes, number: int, source: str) -> None:
        self.raw = raw
        self.number = number
        self.source = source
        self._text: str | None = None
        self._level: str | None = None

    @property
    def text(self) -> str:
        """What the line says."""
        if self._text is None:
            self._level, self._text = undress(decode(self.raw))
        return self._text

    @property
    def level(self) -> str | None:
        """The level of a plog line."""
        return self._level if self.text is not None else None


def log_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files behind the paths: folders (plog) give the logs in them, in order of names.

    Raises:
        UsageError: a path that is not there, or a folder without a log.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(
                p for p in path.rglob("*")
                if p.is_file() and not p.is_symlink() and _LOG_NAMES.search(p.name)
            )  # fmt: skip
            if not found:
                raise UsageError(
                    f"{path}: no log in this folder (*.log, *.txt, plog*). CANN writes them to "
                    "~/ascend/log/debug/plog, or to $ASCEND_PROCESS_LOG_PATH."
                )
            files += found
        elif not path.exists():
            raise UsageError(
                f"{path}: no such file. Give ATC's output (`atc ... > atc.log 2>&1`) or the folder "
                "~/ascend/log/debug/plog."
            )
        else:
            files.append(path)
    return files


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file that can say something; raises UsageError when it is unreadable."""
    try:
        with path.open("rb") as file:
            yield from read_stream(file, str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None


_CONTROL = bytes({*range(32)} - {*b"\t\n\r\b\f\x1b"})


def is_binary(path: Path) -> bool:
    """Whether a file is no log; a few odd bytes are in logs too, and UTF-16 is full of zeros."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    odd = len(head) - len(head.translate(None, _CONTROL))
    return _wide(head) is None and odd > 0.05 * len(head)


def read_stream(file: BinaryIO, source: str) -> Iterator[Line]:
    """Yield the lines of an open file; those that plog marks as INFO, DEBUG, EVENT are left out."""
    for number, raw in enumerate(_raw_lines(file), 1):
        if raw.startswith(_QUIET) and _PLOG_BYTES.match(raw):
            continue
        # a progress bar overwrites its own line
        for part in raw.rstrip(b"\r").split(b"\r") if b"\r" in raw else (raw,):
            yield Line(part, number, source)


_QUIET = (b"[INFO]", b"[DEBUG]", b"[EVENT]", b"[TRACE]")
_PLOG_BYTES = re.compile(rb"\[[A-Z]+\] ?[A-Za-z_]\w*\(")


def _raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines without their ends; UTF-16 is told by its mark or its zeros."""
    buffered = io.BufferedReader(file, _BLOCK) if isinstance(file, io.RawIOBase) else file
    head = buffered.read(4096)
    encoding = _wide(head)
    if encoding is not None:
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        rest = ""
        chunk = head
        while chunk:
            *texts, rest = (rest + decoder.decode(chunk)).split("\n")
            for text in texts:
                yield text.encode("utf-8", "replace")
            if len(rest) > _LONGEST:
                yield rest.encode("utf-8", "replace")
                rest = ""
            chunk = buffered.read(_BLOCK)
        yield rest.encode("utf-8", "replace")
        return
    pending = head
    while True:
        *lines, pending = pending.split(b"\n")
        for line in lines:
            for start in range(0, len(line) or 1, _LONGEST):
                yield line[start : start + _LONGEST]
        while len(pending) > _LONGEST:
            yield pending[:_LONGEST]
            pending = pending[_LONGEST:]
        chunk = buffered.read(_BLOCK)
        if not chunk:
            break
        pending += chunk
    if pending:
        yield pending


def _wide(head: bytes) -> str | None:
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if head.startswith(mark):
            return name
    if len(head) >= 16:
        if head[1::2].count(0) > 0.4 * len(head) and head[::2].count(0) == 0:
            return "utf-16-le"
        if head[::2].count(0) > 0.4 * len(head) and head[1::2].count(0) == 0:
            return "utf-16-be"
    return None


def decode(raw: bytes) -> str:
    """Decode one line: UTF-8, else GB18030 (Chinese terminals), else UTF-8 with gaps."""
    try:
        return raw.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        pass
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace").rstrip("\r")
    # a line cut inside a UTF-8 character reads as GB18030 too, into rare signs
    odd = sum(1 for c in text if "\ue000" <= c <= "\uf8ff" or c > "\uffff")
    return (raw.decode("utf-8", "replace") if odd else text).rstrip("\r")


# ---------------------------------------------------------------------- the dress of a line

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u2060\ufeff\ufffd]")
_ESCAPED = re.compile(r"\\+(?=[_\[\]*#`>().!~|{}<-])")
_TAG = re.compile(r"</?(?:br|p|span|div|code|pre|b|i|td|tr|li)\b[^<>]{0,200}>", re.IGNORECASE)
# full-width forms stand in for ASCII, CJK punctuation for brackets, commas and quotes
NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord(a): b
    for a, b in zip(
        "　\u00a0。、【】「」『』〔〕〖〗“”‘’‚„＂＇", "  .,[][][][][]\"\"'','\"'", strict=True
    )
}

_PLOG = re.compile(
    r"\[(?P<level>ERROR|WARNING|WARN|CRITICAL|INFO|DEBUG|EVENT|TRACE|OPLOG|RUN|SECURITY)\]\s*"
    r"[A-Za-z_]\w*\s*\(\s*\d[^)]{0,80}\)\s*:?\s*"
    r"(?:\d{4}-[\d\-:. T]{8,26})?\s*"
    r"(?:\[[^\[\]\s]{1,120}:\d+\]\s*)?(?:\d+\s+)?(?:\[\w[\w.:]*\]\s*)*"
)
_DRESS = [
    re.compile(p)
    for p in (
        r"\s*(?:[>|│┃]|[#*](?=[\s#*EW(\[]))+\s*",  # quotes, comments, lists, tables
        r"\s*(?:```|~~~)\w*\s*",
        r"\s*\[(?:rank|worker|node|gpu|npu)[ _:-]?\d+\]\s*:?\s*",
        r"\s*\(\w[\w.-]*(?: [\w.-]+)* pid=\d+[^)]{0,60}\)\s*",
        r"\s*[\w./~+-]{1,200}\.(?:log|txt|out|err|md|sh|py)[:-]\d+[:-]\s?",  # grep -n
        r"\s*[\w./~+-]{1,200}\.(?:log|txt|out|err|md)[:]\s?",  # grep
        r"\s*\d{1,7}\s*[|│:→]\s(?!\s*\d\d:)",  # numbered lines
        r"\s*\d{1,7}\t",
        r"\s*[\w.-]{1,60}\s+\|\s",  # docker compose
        r"\s*[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [\w./-]+(?:\[\d+\])?:\s",  # syslog
        r"\s*[\[(]?\d{4}[-/]\d\d[-/]\d\d[ T_]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?[\])]?"
        r"(?:\s*(?:stdout|stderr) [FP])?[\s:|-]*"
        r"(?:[\w.]{1,60}\s*[-:|]\s*)?"
        r"(?:[\[(<]?(?:INFO|ERROR|WARN|WARNING|DEBUG|CRITICAL)[\])>]?[\s:|-]+)?"
        r"(?:[\w.]{1,60}(?::\d+)?\s*[-|]\s+)?",
        r"\s*(?:INFO|ERROR|WARN|WARNING|DEBUG|CRITICAL):[\w.]+:\s?",  # Python's logging
        r"\s*\[(?:INFO|ERROR|WARN|WARNING|DEBUG)\]\s+(?=\S)",
    )
]  # fmt: skip
_ANY_DRESS = re.compile("|".join(f"(?:{p.pattern})" for p in _DRESS))


def undress(text: str) -> tuple[str | None, str]:
    """Return the level of a plog line and the text without quotes, loggers, escapes and colours."""
    if not text.isascii():
        text = text.translate(NARROW)
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if not text.isprintable():
        text = _INVISIBLE.sub("", text).replace("\t", " " if not text.startswith("\t") else "\t")
    if "\\" in text:
        text = _ESCAPED.sub("", text)
    if "&" in text and ";" in text:
        text = html.unescape(text)
    if "<" in text and ">" in text:
        text = _TAG.sub(" ", text)
    plog = _PLOG.search(text[:400]) if "[" in text else None
    if plog is not None:
        level = plog["level"]
        return ("WARNING" if level == "WARN" else level), text[plog.end() :].rstrip()
    for _ in range(4):
        if _ANY_DRESS.match(text) is None:
            break
        before = text
        for pattern in _DRESS:
            match = pattern.match(text)
            if match is not None and match.end():
                text = text[match.end() :]
        if text == before:
            break
    return None, text.rstrip()
