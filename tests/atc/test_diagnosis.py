"""diagnose on a corpus of excerpts: the right code first, the right node, something to do."""

from __future__ import annotations

import io
import json
import random
import re
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphfix.atc.codes import atc_codes
from graphfix.atc.diagnosis import Diagnosis, diagnose, diagnose_lines
from graphfix.atc.diagnosis.forms import Squeezed, find_strong
from graphfix.atc.diagnosis.reading import read_stream
from graphfix.atc.diagnosis.spotting import codes_in
from graphfix.graph import Model
from graphfix.report.diagnose import render
from graphfix.support import Target
from graphfix.support.target import read_toml
from tests.atc.logs import models
from tests.builders import NESTED_IF, text_model
from tests.conftest import PACKAGE, Run

LOGS = Path(__file__).with_name("logs")
EXPECTED = read_toml(LOGS / "expected.toml")
SCHEMA = json.loads((PACKAGE / "schemas" / "diagnose-1.json").read_text(encoding="utf-8"))


@cache
def model_called(name: str) -> Model:
    return Model(models.MODELS[name]())


@cache
def fix_report() -> dict[str, Any]:
    return models.fixed().to_json()


def read(text: str | bytes, model: Model | None = None, **more: Any) -> Diagnosis:
    data = text if isinstance(text, bytes) else text.encode()
    return diagnose_lines(read_stream(io.BytesIO(data), "log"), model, **more)


def test_the_corpus_is_whole() -> None:
    assert {p.stem for p in LOGS.glob("*.log")} == set(EXPECTED) and len(EXPECTED) >= 60
    seen = {c for e in EXPECTED.values() for c in e["codes"]}
    frequent = {"EZ3003", "EZ3002", "E19010", "E13010", "E10001", "E10007", "E10016", "E16005",
                "EZ9999", "E40021", "EC0010", "E90003", "E89999", "W11001"}  # fmt: skip
    assert frequent <= seen and any("E19999" in e.get("also", []) for e in EXPECTED.values())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_excerpt(name: str) -> None:
    want = EXPECTED[name]
    report = fix_report() if want.get("fix_report") else None
    model = model_called(want.get("model", "detector"))
    found = diagnose(LOGS / f"{name}.log", model, target=Target.of(), fix_report=report)
    document = found.to_json()
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    causes = document["causes"]
    assert [c["code"] for c in causes] == want["codes"]
    assert document["outcome"] == want.get("outcome", "unknown")
    first = causes[0] if causes else {"also": [], "nodes": [], "facts": {}}
    assert first["also"] == want.get("also", [])
    for key, kind in (("nodes", "node"), ("inputs", "input")):
        named = [n["node"] for n in first["nodes"] if n["node"] is not None and n["kind"] == kind]
        assert named == want.get(key, [])
    assert [n["raw"] for n in first["nodes"] if n["node"] is None] == want.get("raw", [])
    assert {k: first["facts"].get(k) for k in want.get("facts", {})} == want.get("facts", {})
    screen = render(found)
    said = " ".join(screen.split())
    assert all(c["remedy"] for c in causes)
    assert [words for words in want.get("says", []) if words not in said] == []
    paths = re.compile(r"\S{90,}|^\s+\$ |^/")  # a name or a command is never broken
    assert [x for x in screen.splitlines() if len(x) > 100 and not paths.search(x)] == []


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_excerpt_without_a_model_says_all_it_can(name: str) -> None:
    want = EXPECTED[name]
    document = diagnose(LOGS / f"{name}.log").to_json()
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert [c["code"] for c in document["causes"]] == want["codes"]
    operator = {"E19010", "E13010", "EZ9010", "EZ3003", "E10501", "EZ0501", "E40021", "E20001"}
    for cause in document["causes"]:
        if cause["code"] in operator and name != "parser-truncated":
            assert cause["nodes"] and all(n["raw"] for n in cause["nodes"])
            assert all(n["op_type"] for n in cause["nodes"])
        assert all(n["node"] is None for n in cause["nodes"])


def test_names_survive_whole() -> None:
    long = diagnose(LOGS / "parser-long-name.log").causes[0].nodes[0]
    assert long.raw == models.LONG and len(models.LONG) > 100
    chinese = diagnose(LOGS / "parser-chinese-name.log").causes[0].nodes[0]
    assert chinese.raw == models.CHINESE


def test_the_nodes_say_how_they_were_found() -> None:
    by = {}
    for name in ("parser-81-two-nodes", "compile-e20001-profiles", "kernel-fused-names",
                 "fixed-model-node-original", "scanner-lookalike-name",
                 "parser-truncated"):  # fmt: skip
        model = model_called(EXPECTED[name].get("model", "detector"))
        by[name] = diagnose(LOGS / f"{name}.log", model).causes[0].nodes[0].by
    assert list(by.values()) == ["name", "decorated", "fused", "expanded", "lookalike", "cut"]
    report = diagnose(
        LOGS / "fixed-model-node-report.log", model_called("detector"), fix_report=fix_report()
    )
    node = report.causes[0].nodes[0]
    assert (node.by, node.origin, node.rule) == ("origin", ("/model.9/Gelu_3",), "decompose/gelu")


def test_a_type_alone_names_all_nodes_of_it() -> None:
    found = read("EZ3002: Optype [Mul] of Ops kernel [AIcoreEngine] is unsupported. Reason: x.",
                 model_called("fixed"))  # fmt: skip
    nodes = found.causes[0].nodes
    assert len(nodes) == 4 and {n.by for n in nodes} == {"type"}


def test_where_the_log_names_no_node_check_says_what_it_expects() -> None:
    model = Model(text_model(NESTED_IF))
    text = "E19999: Inner Error!\n        Unknown error occurred. Please check the log.\n"
    found = read(text, model, target=Target.of())
    expected = found.causes[0].facts["expected"]
    assert expected and all(e["code"].startswith("GF") for e in expected)
    assert expected[0]["node"] in render(found)
    # at opset 20 ATC would have printed E19010: that is no explanation of an E19999
    assert (
        "expected" not in read(text, model_called("detector"), target=Target.of()).causes[0].facts
    )


def test_what_check_predicts_of_a_node_stands_with_it() -> None:
    text = "EZ9999: Inner Error!\nEZ9999  Call Infer for node:/a/Nms(NonMaxSuppressionV6) failed\n"
    proto = text_model("""g (float[1,4,4] b, float[1,2,4] s) => (int64[N,3] y) {
        y = NonMaxSuppression(b, s)
    }""")
    proto.graph.node[0].name = "/a/Nms"
    (node,) = read(text, Model(proto), target=Target.of(["Ascend310B1"])).causes[0].nodes
    assert node.node == "/a/Nms" and any("check predicts GF" in n for n in node.notes)


def test_many_nodes_are_one_cause_and_one_screen() -> None:
    lines = [f"E19010: No parser is registered for Op [/a/Gelu_{i}, optype [ai.onnx::20::Gelu]]."
             for i in range(4000)]  # fmt: skip
    found = read("\n".join(lines))
    assert len(found.causes) == 1 and len(found.causes[0].nodes) == 4000
    assert len(render(found).splitlines()) < 40


@pytest.mark.parametrize("code", sorted(c for c in atc_codes() if "-" not in c))
def test_every_code_is_read_in_every_dress(code: str) -> None:
    for head in (f"{code}: text", f"{code}: [PID: 123] 2025-01-02-03:04:05.678.901 text",
                 f"{code}:[PID:123] text", f"{code}: 2025-01-02-03:04:05.678.901 text",
                 f"[PID: 123] 2025-01-02-03:04:05.678.901 Some_Title({code}): text",
                 f"[rank3]: {code}: text", f"> {code}: text", f"# {code}: text", f"* {code}: text",
                 f"a.log:12:{code}: text", f"....{code}: text", f"错误{code}：text",
                 f"[ERROR] GE(12,atc):2025-01-02-03:04:05.678.901 [a.cc:12]34 Func: {code}: text",
                 f"ATC run {'success' if code[0] == 'W' else 'failed'} {code}: text"):  # fmt: skip
        found = [c.code for c in read(head).causes]
        assert found == [code], head
    damaged = code[:2] + code[2:].replace("0", "O").replace("1", "l")
    assert [c.code for c in read(f"{damaged}: [PID: 1] text").causes] == [code]


# ---------------------------------------------------------------------- noise

CLEAN = {
    "E19010": "No parser is registered for Op [/model.9/Gelu_3, optype [ai.onnx::20::Gelu]].",
    "EZ3003": "No supported Ops kernel and engine are found for [/model.12/IsInf], optype [IsInf].",
    "E10501": "IR for Op [/model.10/Resize, optype [Resize]], is not registered.",
    "E20001": "Failed to compile Op [/model.9/Slice_1]. (optype: [StridedSliceD])",
}
PREFIXES = (
    "", "> ", "# ", "[rank0]: ", "* ", "run.log:7:", "2025-01-01 10:00:00,123 - a - ERROR - ",
    "Nov 25 10:00:00 host atc[12]: ", "worker-1  | ", "  12 | ", "INFO:root:", "\x1b[31m",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(CLEAN)), st.sampled_from(PREFIXES), st.integers(24, 200),
    st.integers(0, 9), st.booleans(), st.sampled_from(("utf-8", "gb18030", "utf-16")),
    st.integers(0, 2**32),
)  # fmt: skip
def test_noise_does_not_hide_the_code_or_the_node(
    code: str, prefix: str, width: int, before: int, ocr: bool, encoding: str, seed: int
) -> None:
    rng = random.Random(seed)
    text = f"{code}: [PID: 77] 2025-01-02-03:04:05.678.901 {CLEAN[code]}"
    if ocr:
        text = "".join(rng.choice({"0": "0O", "1": "1l", "O": "O0"}.get(c, c)) for c in text)
    # a terminal breaks where it likes, but not inside the code itself
    lines = [text[i : i + width] for i in range(0, len(text), width)]
    noise = [
        "...",
        "正在转换模型",
        "some other program says: step 12 of 300",
        "[INFO] GE(1,a):x",
        "",
    ]
    body = [rng.choice(noise) for _ in range(before)] + lines
    data = "\n".join(prefix + line for line in body).encode(encoding)
    found = read(data, model_called("detector"))
    assert [c.code for c in found.causes] == [code]
    name = re.search(r"\[(/[^\],]+)", CLEAN[code])[1]
    assert [n.node for n in found.causes[0].nodes] == [name]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_garbage_neither_crashes_nor_gives_a_code(data: bytes) -> None:
    assume(not find_strong(Squeezed.of(data.decode("utf-8", "ignore"))))
    found = read(data)
    coded = [c.code for c in found.causes if c.code[0] in "EW" and c.code[1:2].isupper()]
    assert coded == [] or any(c.encode() in data for c in coded)
    jsonschema.Draft202012Validator(SCHEMA).validate(found.to_json())
    render(found)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=1500))
def test_any_text_neither_crashes_nor_gives_a_code(text: str) -> None:
    # hypothesis tries words of the code that it tests too: ATC's own tell a cause without its code
    assume(not find_strong(Squeezed.of(text)))
    found = read(text.encode("utf-8", "surrogatepass"))
    coded = [c.code for c in found.causes if re.fullmatch(r"[EW]\w{5}", c.code)]
    assert [c for c in coded if c not in text] == []


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(EXPECTED)), st.integers(0, 3000))
def test_a_log_cut_anywhere_is_read(name: str, cut: int) -> None:
    data = (LOGS / f"{name}.log").read_bytes()[:cut]
    found = read(data, model_called("detector"))
    wanted = {
        c for c in [*EXPECTED[name]["codes"], *EXPECTED[name].get("also", [])] if c[0] in "EW"
    }
    if name not in ("several-runs", "prose-mention"):
        got = {c.code for c in found.causes if re.fullmatch(r"[EW]\w{5}", c.code)}
        assert got <= wanted | {"E19010", "E19999"}


@pytest.mark.parametrize(
    "text",
    [
        "commit 7E19010a, #E89999 the colour; /data/E10001/x; E10001.log; a-E19010-b; x_E19010",
        "order E123456, part E1000, room EZ300, flight W11001X, sha 0xE10001F",
        "https://example.org/E10001/index.html and file:///E19010",
        "temperature 3E10001 and 1.5E10016",
    ],
)
def test_what_only_looks_like_a_code(text: str) -> None:
    assert [s for s in codes_in(text) if s.kind != "mention"] == []
    assert read(text).causes == []


# ---------------------------------------------------------------------- size, files, screen


def test_a_large_log_takes_neither_memory_nor_minutes(tmp_path: Path) -> None:
    log = tmp_path / "plog-1.log"
    quiet = (
        "[INFO] GE(1,atc):2025-01-02-03:04:05.678.901 [a.cc:12]34 Run: pass x on node y\n" * 1000
    )
    loud = (
        "[ERROR] TBE(1,atc):2025-01-02-03:04:05.678.901 [b.cc:1]2 Do: something failed 17\n" * 200
    )
    plain = "compiling kernel 17 of 400, this takes a while\n" * 300
    with log.open("w", encoding="utf-8") as file:
        for _ in range(200):
            file.write(quiet + loud + plain)
        head = (
            "E40021: [PID: 1] Failed to compile Op [/a/Add_1]. (oppath: [Compile x.py failed with "
        )
        file.write(f"{head}errormsg/stack: {'stack ' * 100_000}], optype: [Add])\n")
    tracemalloc.start()
    found = diagnose(log)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert log.stat().st_size > 20e6 and peak < 20e6
    assert found.causes[0].code == "E40021" and found.causes[0].nodes[0].raw == "/a/Add_1"


def test_a_folder_of_plogs(main: Callable[..., Run], tmp_path: Path) -> None:
    folder = tmp_path / "ascend" / "log" / "debug" / "plog"
    folder.mkdir(parents=True)
    (folder / "plog-1.log").write_bytes((LOGS / "parser-plog.log").read_bytes())
    (folder / "plog-2.log").write_bytes((LOGS / "compile-e90003.log").read_bytes())
    (folder / "core.bin").write_bytes(b"E10001: not a log")
    done = main("diagnose", "ascend", "--format", "json")
    assert done.returncode == 1
    assert [c["code"] for c in done.document["causes"]] == ["E19010", "E90003"]
    assert len(done.document["runs"]) == 2 and len(done.document["logs"]) == 2


def test_the_command_names_fills_in_and_ends_with_1(
    main: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "yolo.onnx").write_bytes(models.detector().SerializeToString())
    (tmp_path / "atc.log").write_bytes((LOGS / "parser-81-two-nodes.log").read_bytes())
    done = main("diagnose", "atc.log", "--model", "yolo.onnx", "--soc", "Ascend310P3")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[0] == "atc.log   ATC failed   names from yolo.onnx"
    assert "node /model.9/Gelu_3, ai.onnx::20::Gelu" in done.stdout
    assert "$ graphfix fix yolo.onnx -o yolo.fixed.onnx" in done.stdout
    verbose = main("diagnose", "atc.log", "--verbose").stdout
    assert "line 4 of atc.log" in verbose and "error_manager/error_code.json" in verbose
    written = main("diagnose", "atc.log", "--format", "json", "-o", "d.json")
    assert written.returncode == 1 and written.stdout == ""
    assert json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))["outcome"] == "failed"


def test_standard_input(tmp_path: Path, cli: Callable[..., Run], main: Callable[..., Run],
                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    data = (LOGS / "success-clean.log").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    done = main("diagnose", "-")
    assert done.returncode == 0 and done.stdout.startswith("standard input   ATC succeeded")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gone.log",), "no such file"),
        (("empty",), "no log in this folder"),
        (("-", "a.log"), "either `-` or files"),
        (("a.log", "--model", "a.log"), "a.log"),
        (("a.log", "--soc", "Ascend999"), "no such --soc_version"),
        (("a.log", "--cann", "7.0"), "no tables for this release"),
        (("a.log", "--fix-report", "gone.json"), "cannot be read"),
        (("a.log", "--fix-report", "a.log"), "is no JSON"),
        (("a.log", "--fix-report", "other.json"), "no report of fix or convert"),
        (("a.log", "-o", "a.log"), "is an input"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], says: str, main: Callable[..., Run],
                   tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "a.log").write_text("E10001: x\n", encoding="utf-8")
    (tmp_path / "other.json").write_text('{"schema": "x"}', encoding="utf-8")
    (tmp_path / "empty").mkdir()
    done = main("diagnose", *arguments)
    assert done.returncode == 2 and says in " ".join(done.stderr.split()) and not done.stdout
    assert (tmp_path / "a.log").read_text(encoding="utf-8") == "E10001: x\n"


def test_an_empty_log_is_said_so(main: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"")
    done = main("diagnose", "a.log")
    assert done.returncode == 0 and "No known code" in done.stdout and "--log=debug" in done.stdout
