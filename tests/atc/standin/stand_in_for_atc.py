#!/usr/bin/env python3
"""A stand-in for Huawei's ATC, for tests only. It converts nothing and is never shipped.

It reads a command line by the documented limits of atc (its own small checks, written from the
public documents and independent of graphfix, so that the two can disagree), then plays a scenario:

    GRAPHFIX_STANDIN=success            an .om-like file appears, exit 0 (the default)
                     slow:SECONDS       the same after some time, with progress lines
                     hang               prints, then sleeps for ever; ends when asked to
                     stubborn           as hang, but it and its child ignore SIGINT and SIGTERM
                     code:E40021        this code's message, then failure
                     once:E40003        the same on the first run, success afterwards
                     refuse:Gelu,Mish   E19010 while the model holds one of these operators
                     truncated          the log stops in the middle of a message, exit 255
                     killed             SIGKILL in the middle of the work
                     disk-full          half an .om, then the message of a full disk, exit 255
                     half               half an .om, yet exit 0 and the words of a success
                     no-om              the words of a success, exit 0, and no file
                     flood:LINES        that many lines of log, then success
                     leftover           success, but a child process stays behind

GRAPHFIX_STANDIN_STATE names a folder for `once` and for the process ids that it starts.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

FAILURE = 255
# the names that the documents of 2026 and the flag list of the open source hold
NAMES = Path(__file__).with_name("options.txt").read_text(encoding="utf-8").split()
VALUES = {
    "framework": ("E10007", "0 1 3 5"),
    "log": ("E10010", "debug info warning error null"),
    "mode": ("E10001", "0 1 3 5 6 7 30"),
    "precision_mode": (
        "E10001",
        "force_fp16 force_fp32 cube_fp16in_fp32out allow_fp32_to_fp16 must_keep_origin_dtype "
        "allow_mix_precision allow_mix_precision_fp16 allow_mix_precision_bf16 allow_fp32_to_bf16",
    ),
    "input_format": ("E10001", "NCHW NCDHW ND NHWC"),
    "buffer_optimize": ("E10001", "l1_optimize l2_optimize off_optimize"),
    "external_weight": ("E10001", "0 1 2"),
    "op_compiler_cache_mode": ("E10001", "enable force disable"),
    "op_select_implmode": (
        "E10001",
        "high_precision high_performance high_precision_for_all high_performance_for_all",
    ),
    "output_type": ("E10001", None),
}
PROFILES = ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims")
MESSAGES = Path(__file__).with_name("messages.csv")


class Refused(Exception):
    """A refusal with its code and what fills the message."""

    def __init__(self, code: str, **words: str) -> None:
        super().__init__(code)
        self.code, self.words = code, words


def say(text: str) -> None:
    print(text, flush=True)


def message(code: str, words: dict[str, str]) -> str:
    """The documented template of a code, filled in."""
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        templates = {row["code"]: row["template"] for row in csv.DictReader(file)}
    text = templates.get(code, "(no template)")
    text = re.sub(r"<(\w+)>", lambda m: f"[{words.get(m[1], m[1])}]", text)
    stamp = time.strftime("%Y-%m-%d-%H:%M:%S.000.000", time.gmtime(0))
    return f"{code}: [PID: {os.getpid()}] {stamp} {text}"


def parse(arguments: list[str]) -> dict[str, str]:
    """Options as getopt_long reads them: one dash or two, - for _, unique prefixes, last wins."""
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            raise Refused("E10053", reason=f"non-option parameter {word}")
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        fits = [n for n in NAMES if n == name] or [n for n in NAMES if n.startswith(name)]
        if len(fits) != 1:
            say(f"ERROR: unknown command line flag '{name}'")
            raise Refused("", reason="flag")
        if not equals:
            value = next(words, "")
        found[fits[0]] = value
    return found


def shapes_of(text: str) -> dict[str, list[str]]:
    result = {}
    for part in text.split(";"):
        name, colon, dims = part.rpartition(":")
        if not colon or not name.strip():
            raise Refused("E10002", shape=text, reason="no name and colon", sample="x:1,3")
        numbers = [d.strip() for d in dims.split(",")] if dims.strip() else []
        for dim in numbers:
            if not re.fullmatch(r"-?\d+|\d+~-?\d+", dim):
                raise Refused("E10014", value=dim, parameter="--input_shape")
        result[name.strip()] = numbers
    return result


def check_profiles(options: dict[str, str], shapes: dict[str, list[str]]) -> None:
    given = [p for p in PROFILES if options.get(p)]
    if len(given) > 1 or (given and options.get("input_shape_range")):
        raise Refused("E10009")
    if not given:
        return
    kind, text = given[0], options[given[0]]
    if not shapes:
        raise Refused("E10004", parameter="--input_shape")
    if any("~" in d for dims in shapes.values() for d in dims):
        raise Refused("E10040")
    separator = "," if kind == "dynamic_batch_size" else ";"
    if not re.fullmatch(r"[0-9,;\s]+", text) or (separator == "," and ";" in text):
        raise Refused("E10003", value=text, parameter=f"--{kind}", reason="digits only")
    profiles = [p.split(",") for p in text.strip(separator).split(separator)]
    if len(profiles) < 2:
        raise Refused("E10035", have="1", min="2")
    if len(profiles) > 100:
        raise Refused("E10036", have=str(len(profiles)), max="100")
    if len({tuple(p) for p in profiles}) != len(profiles):
        raise Refused("E10039")
    if any(int(n) < 1 for p in profiles for n in p):
        raise Refused("E10038", dim="0")
    if len({len(p) for p in profiles}) != 1:
        raise Refused("E10037")
    open_axes = [(n, i) for n, dims in shapes.items() for i, d in enumerate(dims) if d == "-1"]
    if kind == "dynamic_batch_size":
        if any(not dims for dims in shapes.values()):
            raise Refused("E10012")
        if any(i for _, i in open_axes):
            raise Refused("E10018", index="1", shape=options["input_shape"])
        if not open_axes:
            raise Refused("E10031")
    elif kind == "dynamic_image_size":
        default = "NHWC" if options["framework"] == "3" else "NCHW"
        axes = (2, 3) if options.get("input_format", default) == "NCHW" else (1, 2)
        for dims in shapes.values():
            where = tuple(i for i, d in enumerate(dims) if d == "-1")
            if where and (len(dims) != 4 or where != axes):
                raise Refused("E10019")
        if not open_axes:
            raise Refused("E10040")
        if len(profiles[0]) != 2:
            raise Refused("E10020", value=text)
    else:
        if not open_axes:
            raise Refused("E10001", parameter="--input_shape", value=options["input_shape"],
                          reason="no dim is -1")  # fmt: skip
        if len(profiles[0]) != len(open_axes):
            raise Refused("E10045" if len(open_axes) > len(profiles[0]) else "E10046")


def check(options: dict[str, str]) -> None:
    """The documented limits, in the order in which atc meets them."""
    for name, (code, values) in VALUES.items():
        if name in options and values is not None and options[name] not in values.split():
            raise Refused(code, parameter=f"--{name}", value=options[name],
                          reason=f"one of {values}", support=values)  # fmt: skip
    for name in ("model", "output", "soc_version"):
        if not options.get(name):
            raise Refused("E10054", parameter=f"--{name}")
    if "framework" not in options:
        raise Refused("E10007", parameter="--framework", support="0, 1, 3, 5")
    if "precision_mode" in options and "precision_mode_v2" in options:
        raise Refused("E10056", a="--precision_mode", b="--precision_mode_v2")
    if options["output"].endswith("/"):
        raise Refused("E10022", parameter="--output")
    if not re.fullmatch(r"Ascend\w+(-1)?|AS31XM1X|SD\w+|BS9SX\w+|Hi\w+", options["soc_version"]):
        raise Refused("E10001", parameter="--soc_version", value=options["soc_version"],
                      reason="no such SoC")  # fmt: skip
    shapes = shapes_of(options["input_shape"]) if options.get("input_shape") else {}
    check_profiles(options, shapes)
    if options["framework"] == "5":
        check_model(options, shapes)


def check_model(options: dict[str, str], shapes: dict[str, list[str]]) -> None:
    import onnx

    path = Path(options["model"])
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:
        raise Refused("E10041", file=str(path)) from None
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and not (path.parent / entry.value).is_file():
                raise Refused("E10041", file=entry.value)
    weights = {t.name for t in model.graph.initializer}
    inputs = {i.name: i for i in model.graph.input if i.name not in weights}
    for name, dims in shapes.items():
        if name not in inputs:
            raise Refused("E10016", opname=name, parameter="--input_shape")
        declared = inputs[name].type.tensor_type
        if declared.HasField("shape") and len(declared.shape.dim) != len(dims):
            raise Refused("E10049", a=str(len(dims)), b=str(len(declared.shape.dim)))
    for name, info in inputs.items():
        dims = info.type.tensor_type.shape.dim
        if name not in shapes and any(not d.HasField("dim_value") for d in dims):
            raise Refused("E10001", parameter="--input_shape", value=name,
                          reason=f"input {name} has a dim -1")  # fmt: skip
    opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
    if opsets.get("ai.onnx", 0) not in range(7, 19) and model.graph.node:
        node = model.graph.node[0]
        raise Refused("E19010", opname=node.name, optype=f"ai.onnx::{opsets.get('ai.onnx')}::"
                      f"{node.op_type}")  # fmt: skip


def play(scenario: str, options: dict[str, str]) -> int:
    kind, _, detail = scenario.partition(":")
    state = Path(os.environ.get("GRAPHFIX_STANDIN_STATE", "."))
    say("...10%")
    if kind == "once":
        marker = state / "played-once"
        if not marker.exists():
            marker.touch()
            kind = "code"
    if kind == "slow":
        end = time.monotonic() + float(detail)
        while time.monotonic() < end:
            time.sleep(0.1)
            say(".")
    elif kind in ("hang", "stubborn"):
        code = (
            "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; "
            "time.sleep(600)"
        )
        if kind == "stubborn":
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        other = subprocess.Popen([sys.executable, "-c", code]) if kind == "stubborn" else None
        write_om(options, half=True)
        (state / "pids").write_text(f"{os.getpid()} {other.pid if other else ''}")
        say("compiling")
        time.sleep(600)
    elif kind == "code":
        return fail(detail, **words_of(options))
    elif kind == "refuse":
        import onnx

        model = onnx.load(options["model"], load_external_data=False)
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        refused = [n for n in model.graph.node if n.op_type in detail.split(",")]
        if refused:
            return fail("E19010", opname=refused[0].name,
                        optype=f"ai.onnx::{opset}::{refused[0].op_type}")  # fmt: skip
    elif kind == "truncated":
        print(message("E40021", words_of(options))[:60], end="", flush=True)
        return FAILURE
    elif kind == "killed":
        write_om(options, half=True)
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "disk-full":
        write_om(options, half=True)
        say("OSError: [Errno 28] No space left on device")
        return fail("E19004", file=options["output"] + ".om", reason="No space left on device")
    elif kind == "flood":
        for number in range(int(detail)):
            print(f"[INFO] GE({os.getpid()},atc):line {number}")
    elif kind == "leftover":
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (state / "pids").write_text(f"{other.pid}")
    if kind != "no-om":
        write_om(options, half=kind == "half")
    say("ATC run success, welcome to the next use.")
    return 0


def words_of(options: dict[str, str]) -> dict[str, str]:
    """What fills a message: the node that the test names, else the first of the model."""
    words = {"file": options["model"], "parameter": "--input_shape", "value": "?"}
    name = os.environ.get("GRAPHFIX_STANDIN_NODE")
    import onnx

    for node in onnx.load(options["model"], load_external_data=False).graph.node:
        if name in (None, node.name):
            words |= {"opname": node.name, "op": node.name, "optype": node.op_type}
            break
    return words


def write_om(options: dict[str, str], half: bool) -> None:
    """A file with the header that the open source documents: magic, 256 bytes, payload length."""
    payload = json.dumps({"stand-in": True, "options": options}).encode().ljust(4096)
    header = struct.pack("<III64xI", 0x444F4D49, 256, 0x10000000, len(payload)).ljust(256, b"\0")
    data = header + payload
    path = Path(options["output"] + ".om")
    path.write_bytes(data[: len(data) // 2] if half else data)
    if options.get("external_weight") == "1":
        (path.parent / "weight").mkdir(exist_ok=True)
        (path.parent / "weight" / "stand-in-weight").write_bytes(b"weights")


def fail(code: str, **words: str) -> int:
    if code:
        say(message(code, words))
        say("        Solution: this is a stand-in; see the documents of the code.")
        say("        TraceBack (most recent call last):")
    say("ATC run failed, Please check the detail log, Try 'atc --help' for more information")
    return FAILURE


def main(arguments: list[str]) -> int:
    if any(a in ("--help", "-h", "--h") for a in arguments):
        say("This is a stand-in for atc, made for tests. It converts nothing.\n" + (__doc__ or ""))
        return 0
    say("ATC start working now, please wait for a moment.")
    try:
        options = parse(arguments)
        check(options)
    except Refused as refusal:
        return fail(refusal.code, **refusal.words)
    return play(os.environ.get("GRAPHFIX_STANDIN", "success"), options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
