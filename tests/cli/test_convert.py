"""graphfix convert against the stand-in: what a user sees, what is left on the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import pytest

from graphfix.atc import convert as convert_module
from tests.atc.standin import environment, install, is_alive, script
from tests.builders import text_model, write
from tests.conftest import PACKAGE, Run

SOC = ("--soc", "Ascend310P3")


def subject() -> onnx.ModelProto:
    """Refused for its Gelu; fix clears it. HardSwish is taken at opset 17."""
    body = "g (float[N,3] x) => (float[N,3] y) { g = Gelu(x) y = HardSwish(g) }"
    proto = text_model(body, 20)
    for node in proto.graph.node:
        node.name = f"/head/{node.op_type}"
    return proto


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sourced toolkit whose atc is the stand-in, and a model beside it."""
    for name in [n for n in os.environ if n.startswith("ASCEND_")]:
        monkeypatch.delenv(name)
    (tmp_path / "out").mkdir()
    write(subject(), tmp_path / "m.onnx")
    atc = install(tmp_path / "kit")
    monkeypatch.setenv("GRAPHFIX_STANDIN_STATE", str(tmp_path))
    monkeypatch.setattr(convert_module, "preflight", lambda *_: [])
    return atc


@pytest.fixture
def convert(
    main: Callable[..., Run], kit: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Runs convert on the model in the scenario."""

    def run(scenario: str, *arguments: object) -> Run:
        monkeypatch.setenv("GRAPHFIX_STANDIN", scenario)
        return main("convert", "m.onnx", *SOC, "--shape", "x=2,3", "-o", "out", "--atc", kit,
                    "--report", "r.json", *arguments)  # fmt: skip

    return run


def report(tmp_path: Path) -> dict[str, Any]:
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    schema = json.loads((PACKAGE / "schemas" / "convert-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    return document


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_the_om_the_fixed_model_and_the_log(convert: Callable[..., Run], tmp_path: Path) -> None:
    before = (tmp_path / "m.onnx").read_bytes()
    done = convert("success")
    assert done.returncode == 0, done.stderr
    assert left(tmp_path / "out") == ["m.atc-1.log", "m.fixed.onnx", "m.om"]
    assert (tmp_path / "m.onnx").read_bytes() == before
    assert "ATC run success" in done.stderr and "ATC run success" not in done.stdout
    assert "graphfix compare m.onnx out/m.om" in done.stdout
    document = report(tmp_path)
    assert document["status"] == "converted" and document["attempts"][0]["problem"] is None
    assert document["fix"]["schema"] == "graphfix.fix/1"
    om = json.loads((tmp_path / "out" / "m.om").read_bytes()[256:])
    assert om["options"]["input_shape"] == "x:2,3"
    assert max(len(line) for line in done.stdout.splitlines()) <= 100 + len(str(tmp_path)) * 2


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("half", "m.om is not whole"),
        ("no-om", "wrote no .om"),
        ("killed", "ended by SIGKILL: out of memory, or somebody ended it"),
        ("disk-full", "exit code 255"),
        ("truncated", "exit code 255"),
        ("code:E40021", "exit code 255"),
    ],
)
def test_a_failed_run_leaves_the_old_om_and_no_half_one(
    scenario: str, says: str, convert: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "out" / "m.om").write_bytes(b"the old one")
    done = convert(scenario, "--retries", "0")
    said = " ".join(done.stdout.split())
    assert done.returncode == 1 and says in said and "no .om was written or replaced" in said
    assert "graphfix diagnose out/m.atc-1.log --model out/m.fixed.onnx" in said
    assert (tmp_path / "out" / "m.om").read_bytes() == b"the old one"
    assert left(tmp_path / "out") == ["m.atc-1.log", "m.fixed.onnx", "m.om"]
    assert says in (report(tmp_path)["attempts"][0]["problem"] or "")


def test_timeout_ends_it(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphfix.atc.process._GRACE", 0.3)
    done = convert("stubborn", "--timeout", "2", "--retries", "0")
    assert done.returncode == 1 and "ended by --timeout" in done.stdout
    pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2 and not any(is_alive(p) for p in pids)
    assert left(tmp_path / "out") == ["m.atc-1.log", "m.fixed.onnx"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_and_leaves_nothing_half(
    number: signal.Signals, kit: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / "m.om").write_bytes(b"the old one")
    command = [sys.executable, "-m", "graphfix", "convert", "m.onnx", *SOC, "--shape", "x=2,3",
               "-o", "out", "--atc", str(kit), "--report", "r.json"]  # fmt: skip
    settings = environment(
        GRAPHFIX_STANDIN="hang", GRAPHFIX_STANDIN_STATE=str(tmp_path),
        PYTHONPATH=str(PACKAGE.parent),
    )  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, env=settings, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    deadline = time.monotonic() + 30
    while not (tmp_path / "pids").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "cancelled" in out and "Traceback" not in err
    assert not is_alive(int((tmp_path / "pids").read_text().split()[0]))
    assert (tmp_path / "out" / "m.om").read_bytes() == b"the old one"
    assert left(tmp_path / "out") == ["m.atc-1.log", "m.fixed.onnx", "m.om"]
    assert report(tmp_path)["status"] == "cancelled"


def test_who_stays_behind_is_ended(convert: Callable[..., Run], tmp_path: Path) -> None:
    assert convert("leftover").returncode == 0
    assert not is_alive(int((tmp_path / "pids").read_text()))


def test_external_weights_of_the_om_come_along(convert: Callable[..., Run], tmp_path: Path) -> None:
    done = convert("success", "--set", "external_weight=1")
    assert done.returncode == 0
    assert left(tmp_path / "out" / "weight") == ["stand-in-weight"]


def test_no_fix_hands_over_the_model_itself(convert: Callable[..., Run], tmp_path: Path) -> None:
    done = convert("success", "--no-fix")
    assert done.returncode == 1 and "E19010" in done.stderr  # opset 20, as it is
    assert report(tmp_path)["fix"] is None
    assert left(tmp_path / "out") == ["m.atc-1.log"]


# ---------------------------------------------------------------------- trying again


def cause(code: str, node: str | None = None, **facts: str) -> dict[str, Any]:
    nodes = [{"node": node, "raw": node, "op_type": None}] if node else []
    return {"code": code, "also": [], "nodes": nodes, "facts": facts, "headline": code,
            "remedy": "see the code's page"}  # fmt: skip


def says(monkeypatch: pytest.MonkeyPatch, *causes: dict[str, Any]) -> None:
    """Let every failed run be diagnosed like this."""
    monkeypatch.setattr(convert_module, "diagnose", lambda *_: {"causes": list(causes)})


def test_an_operator_that_this_atc_refuses_is_written_otherwise(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, cause("E19010", "/head/HardSwish"))
    done = convert("refuse:HardSwish")
    assert done.returncode == 0, done.stdout
    first, second = report(tmp_path)["attempts"]
    assert "exit code 255" in first["problem"] and "HardSwish" in first["remedy"]
    assert second["problem"] is None and "attempt 2" in done.stdout
    ops = [n.op_type for n in onnx.load(tmp_path / "out" / "m.fixed.onnx").graph.node]
    assert "HardSwish" not in ops and "HardSigmoid" in ops
    assert left(tmp_path / "out")[:2] == ["m.atc-1.log", "m.atc-2.log"]


def test_retries_are_limited_and_nothing_is_tried_twice(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, cause("E19010", "/head/HardSwish"))
    assert convert("refuse:HardSwish", "--retries", "0").returncode == 1
    assert len(report(tmp_path)["attempts"]) == 1
    assert convert("code:E19010", "--retries", "9").returncode == 1
    assert len(report(tmp_path)["attempts"]) == 2


def test_where_no_rule_helps_it_says_so(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, cause("EZ3003", "/head/Erf"))
    erf = text_model("g (float[2,3] x) => (float[2,3] y) { y = Erf(x) }")
    erf.graph.node[0].name = "/head/Erf"
    write(erf, tmp_path / "m.onnx")
    done = convert("refuse:Erf")
    assert done.returncode == 1 and "no rule writes it otherwise" in " ".join(done.stdout.split())
    assert len(report(tmp_path)["attempts"]) == 1


def test_an_accident_is_tried_once_more(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, cause("E40003"))
    assert convert("once:E40003").returncode == 0
    assert [a["remedy"] is None for a in report(tmp_path)["attempts"]] == [False, True]


def test_a_failing_fusion_pass_is_switched_off(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, cause("E20007", **{"pass": "ConvBnFusionPass"}))
    assert convert("once:E20007").returncode == 0
    switch = json.loads((tmp_path / "out" / "fusion_switch.cfg").read_text())
    assert switch["Switch"]["GraphFusion"] == {"ConvBnFusionPass": "off"}
    second = report(tmp_path)["attempts"][1]["command"]
    (word,) = [w for w in second if w.startswith("--fusion_switch_file=")]
    # ATC runs in a folder of its own: a relative path would lead nowhere
    path = Path(word.partition("=")[2])
    assert path.is_absolute() and path.samefile(tmp_path / "out" / "fusion_switch.cfg")


def test_a_file_of_an_option_is_found_from_the_folder_of_atc(
    convert: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "keep.cfg").write_text("relu_0\n")
    convert("success", "--set", "keep_dtype=keep.cfg", "--set", "op_debug_level=0")
    command = report(tmp_path)["attempts"][0]["command"]
    assert f"--keep_dtype={tmp_path / 'keep.cfg'}" in command


@pytest.mark.parametrize(
    ("scenario", "model_op", "code", "remedy"),
    [
        ("refuse:HardSwish", "HardSwish", "E19010", "ATC refused HardSwish"),
        ("once:E40003", None, "E40003", "once more, unchanged"),
        ("once:E22001", "HardSwish", "E22001", "once more, unchanged"),
    ],
)
def test_a_failed_run_is_read_mended_and_repeated(
    scenario: str, model_op: str | None, code: str, remedy: str,
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("GRAPHFIX_STANDIN_NODE", "/head/HardSwish")
    done = convert(scenario)
    assert done.returncode == 0, done.stdout
    first, second = report(tmp_path)["attempts"]
    assert second["problem"] is None and remedy in first["remedy"]
    diagnosis = first["diagnosis"]
    schema = json.loads((PACKAGE / "schemas" / "diagnose-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(diagnosis)
    (cause,) = diagnosis["causes"]
    assert cause["code"] == code
    named = [n["node"] for n in cause["nodes"]]
    assert named == ([f"/head/{model_op}"] if model_op else [])


@pytest.mark.parametrize(
    ("scenario", "code", "says"),
    [
        ("code:E40021", "E40021", "/head/HardSwish"),
        ("disk-full", "E19004", "df -h"),
        ("code:EZ3003", "EZ3003", "kernels package"),
        ("code:E10041", "E10041", "graphfix check"),
        ("killed", "killed", "dmesg"),
    ],
)
def test_a_failure_that_stays_says_why_and_what_to_do(
    scenario: str, code: str, says: str,
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("GRAPHFIX_STANDIN_NODE", "/head/HardSwish")
    done = convert(scenario, "--retries", "0")
    said = " ".join(done.stdout.split())
    assert done.returncode == 1 and says in said
    assert report(tmp_path)["attempts"][0]["diagnosis"]["causes"][0]["code"] == code
    assert f"{code} " in said and "-> " in said


def test_a_node_that_fix_wrote_is_told_by_the_users_own(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHFIX_STANDIN_NODE", "/head/Gelu/Erf")
    done = convert("code:E40021", "--retries", "0")
    assert done.returncode == 1
    node = report(tmp_path)["attempts"][0]["diagnosis"]["causes"][0]["nodes"][0]
    assert node["node"] == "/head/Gelu/Erf" and node["origin"] == ["/head/Gelu"]
    assert node["rule"] == "decompose/gelu"


# ---------------------------------------------------------------------- finding and reaching ATC


def test_no_atc_is_one_paragraph_that_names_the_bundle(
    main: Callable[..., Run], kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = main("convert", "m.onnx", *SOC, "--shape", "x=2,3", "-o", "out")
    said = " ".join(done.stderr.split())
    assert done.returncode == 2 and "ATC was not found" in said and "--bundle out.tar.gz" in said
    assert left(tmp_path / "out") == [] and not done.stdout


def test_a_command_that_sees_the_folder_under_another_name(
    main: Callable[..., Run], kit: Path, tmp_path: Path
) -> None:
    (tmp_path / "mounted").symlink_to(tmp_path / "out")
    reach = ("--atc-cmd", f"env -u HOME '{kit}'", "--atc-workdir", tmp_path / "mounted")
    done = main("convert", "m.onnx", *SOC, "--shape", "x=2,3", "-o", "out", "--report", "r.json",
                *reach)  # fmt: skip
    assert done.returncode == 0, done.stderr
    command = report(tmp_path)["attempts"][0]["command"]
    assert command[:4] == ["env", "-u", "HOME", str(kit)]
    assert f"--model={tmp_path}/mounted/m.fixed.onnx" in command


def test_over_ssh_the_words_survive_the_other_shell(
    main: Callable[..., Run], kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "ssh").write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')  # as ssh does
    (fake / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    two = text_model("g (float[2] a, float[2] b) => (float[2] y) { y = Add(a, b) }")
    write(two, tmp_path / "m.onnx")
    done = main("convert", "m.onnx", *SOC, "-o", "out", "--atc-cmd", f"ssh host {kit}",
                "--set", "insert_op_conf=a b;c")  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "out" / "m.om").read_bytes()[256:])["options"]
    assert made["input_shape"] == "a:2;b:2" and made["insert_op_conf"] == "a b;c"


def test_a_command_that_sees_nothing_of_the_folder(
    main: Callable[..., Run], kit: Path, tmp_path: Path
) -> None:
    blind = tmp_path / "blind"
    blind.write_text("#!/bin/sh\necho ATC run success\n")
    blind.chmod(0o755)
    done = main("convert", "m.onnx", *SOC, "--shape", "x=2,3", "-o", "out", "--atc-cmd", blind)
    said = " ".join(done.stdout.split())
    assert done.returncode == 1 and "--atc-workdir" in said


def test_the_preflight_stops_what_cannot_run(
    main: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(subject(), tmp_path / "m.onnx")
    atc = script(tmp_path / "atc")
    monkeypatch.setenv("ASCEND_OPP_PATH", str(tmp_path / "gone"))
    done = main("convert", "m.onnx", *SOC, "--shape", "x=2,3", "--atc", atc, "--report", "r.json")
    said = " ".join(done.stdout.split())
    assert done.returncode == 1 and "there is no such folder" in said
    assert "nothing was run" in said and not (tmp_path / "m.om").exists()
    document = report(tmp_path)
    assert document["status"] == "stopped" and document["attempts"] == []


# ---------------------------------------------------------------------- bundle, dry run, bad usage


def test_bundle_from_the_command_line(main: Callable[..., Run], kit: Path, tmp_path: Path) -> None:
    done = main("convert", "m.onnx", *SOC, "--batch", "1,2", "--bundle", "b.tar.gz")
    assert done.returncode == 0, done.stderr
    assert "tar xf b.tar.gz && m/convert.sh" in done.stdout and "golden/inputs" in done.stdout
    assert (tmp_path / "b.tar.gz").is_file() and left(tmp_path / "out") == []


def test_dry_run_prints_the_command_and_writes_nothing(
    main: Callable[..., Run], kit: Path, tmp_path: Path
) -> None:
    before = left(tmp_path)
    done = main("convert", "m.onnx", *SOC, "--batch", "1,2", "--dry-run", "--atc", kit)
    said = " ".join(done.stdout.split())
    assert done.returncode == 0 and f"{kit} --model=m.fixed.onnx --output=m" in said
    assert "--dynamic_batch_size=1,2" in said
    assert left(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--soc: say for which chip"),
        ((*SOC, "--opset", "19"), "--opset 19"),
        ((*SOC, "--retries", "-1"), "--retries -1"),
        ((*SOC, "--timeout", "0"), "--timeout 0"),
        ((*SOC, "--atc-workdir", "/w"), "give both"),
        ((*SOC, "--bundle", "b.tar.gz", "--atc", "x"), "runs no atc"),
        ((*SOC, "--bundle", "b.zip", "--batch", "1,2"), "must end in .tar.gz"),
        ((*SOC, "--bundle", "no/b.tar", "--batch", "1,2"), "no such folder"),
        ((*SOC, "-o", "nowhere"), "there is no such folder"),
        ((*SOC, "--batch", "1;2"), "parted by commas"),
        ((*SOC, "--dims", "a"), "--dims a: expected whole numbers"),
        ((*SOC, "--shape", "x=[1,3]"), "without brackets"),
        ((*SOC, "--set", "log"), "expected KEY=VALUE"),
        ((*SOC,), "ATC wants numbers (E10001)"),
        (("--soc", "Ascend310P3,Ascend910B3", "--batch", "1,2"), "one SoC at a time"),
        ((*SOC, "--batch", "1,2", "--report", "m.onnx"), "is an input"),
        ((*SOC, "--batch", "1,2", "--atc", "nowhere"), "no such file"),
    ],
)
def test_bad_usage_is_one_paragraph_before_any_work(
    arguments: tuple[str, ...], says: str, main: Callable[..., Run], kit: Path, tmp_path: Path
) -> None:
    before = left(tmp_path)
    done = main("convert", "m.onnx", *arguments)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2 and says in said and "Traceback" not in said
    assert left(tmp_path) == before and not done.stdout
