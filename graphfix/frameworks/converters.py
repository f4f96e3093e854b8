"""TensorFlow and Paddle, through their own converters tf2onnx and paddle2onnx, where installed.

There is no original to run here, so nothing is proved; the candidates are checked and ranked.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from graphfix.errors import UnreadableModel, UsageError
from graphfix.frameworks.outcome import COUNTED, Candidate, Export, Proof
from graphfix.frameworks.request import Request
from graphfix.frameworks.source import FROZEN_GRAPH, PADDLE, SAVED_MODEL, Source, paddle_model
from graphfix.support import Tables, Target

_TF, _PADDLE = "tf2onnx", "paddle2onnx"
_EXTRAS = {_TF: "tensorflow", _PADDLE: "paddle"}
# opsets that CANN registers and that the converter writes itself, the likely best first
_OPSETS = {_TF: (17, 18, 15, 13, 11), _PADDLE: (16, 15, 13, 11)}
_MODEL = "model.onnx"


def convert(
    source: Source,
    request: Request,
    target: Target,
    tables: Tables | None,
    folder: Path,
    on_tick: Callable[[float], None] = lambda seconds: None,
) -> Export:
    """Convert at each opset into `folder`/TOOL-OPSET, and choose as for PyTorch.

    Raises UsageError when the converter is not installed or options do not fit.
    """
    tool = _PADDLE if source.kind == PADDLE else _TF
    _check(source, request, tool)
    result = Export(request.spec, None, [s.name for s in target.socs], [], [])
    opsets = _OPSETS[tool] if request.opset is None else (request.opset,)
    for opset in opsets:
        start = time.monotonic()
        candidate = _try(tool, source, request, opset, folder, on_tick)
        if candidate.status != "failed":
            _look(candidate, folder / f"{tool}-{opset}" / _MODEL, target, tables)
        candidate.seconds = round(time.monotonic() - start, 2)
        result.candidates.append(candidate)
    passed = [c for c in result.candidates if c.status == "beaten"]
    if passed:
        best = min(passed, key=lambda c: c.rank)
        best.status = "chosen"
        best.proof = Proof(None, f"not proved: {_EXTRAS[tool]} was not run")
        result.notes.append(
            f"{tool} gives no outputs to compare with; graphfix compare takes saved ones"
        )
    return result


def _check(source: Source, request: Request, tool: str) -> None:
    if request.exporter is not None:
        raise UsageError(f"--exporter {request.exporter}: is for PyTorch; {tool} converts this.")
    if request.dynamic:
        raise UsageError(
            f"--dynamic: the axes of {source.spec} are as its file has them; bind them with "
            "--shape in check, fix and convert."
        )
    if source.kind == FROZEN_GRAPH and not (request.inputs and request.output_names):
        raise UsageError(
            f"{source.spec}: a frozen graph does not say what goes in and out; give --input "
            "'x:0=float32[1,224,224,3]' and --output-names 'Identity:0'."
        )
    if find_spec(tool) is None:
        raise UsageError(f"{source.spec}: needs {tool}: pip install 'graphfix[{_EXTRAS[tool]}]'.")


def command(tool: str, source: Source, request: Request, opset: int, output: Path) -> list[str]:
    """Return the converter's command line."""
    assert source.path is not None
    if tool == _PADDLE:
        model = paddle_model(source.path)
        script = "import sys; from paddle2onnx.command import main; sys.exit(main())"
        return [
            sys.executable, "-c", script, "--model_dir", str(model.parent),
            "--model_filename", model.name,
            "--params_filename", model.with_suffix(".pdiparams").name,
            "--save_file", str(output), "--opset_version", str(opset),
        ]  # fmt: skip
    words = [sys.executable, "-m", "tf2onnx.convert", "--output", str(output),
             "--opset", str(opset)]  # fmt: skip
    if source.kind == SAVED_MODEL:
        folder = source.path if source.path.is_dir() else source.path.parent
        words += ["--saved-model", str(folder)]
    else:
        words += ["--graphdef", str(source.path)]
    if request.inputs:
        shapes = (f"{i.name}[{','.join(map(str, i.dims))}]" for i in request.inputs)
        words += ["--inputs", ",".join(shapes)]
    if request.output_names:
        words += ["--outputs", ",".join(request.output_names)]
    return words


def _try(
    tool: str, source: Source, request: Request, opset: int, folder: Path,
    on_tick: Callable[[float], None],
) -> Candidate:  # fmt: skip
    from graphfix.atc.process import run_program

    place = folder / f"{tool}-{opset}"
    place.mkdir()
    log = folder / "log.txt"
    words = command(tool, source, request, opset, place / _MODEL)
    lines: list[str] = []
    done = run_program(words, log, folder=Path.cwd(), on_line=lines.append, on_tick=on_tick)
    if done.how == "cancelled":
        raise KeyboardInterrupt
    if done.exit_code != 0 or not (place / _MODEL).is_file():
        said = next((line.strip() for line in reversed(lines) if line.strip()), done.sentence)
        return Candidate(tool, opset, "failed", said[:240])
    return Candidate(tool, opset, "beaten")


def _look(candidate: Candidate, path: Path, target: Target, tables: Tables | None) -> None:
    """Check a converted file."""
    from graphfix.analysis import check

    try:
        report = check(path, target, tables=tables)
    except UnreadableModel as error:
        candidate.status, candidate.reason = "failed", f"wrote an unreadable file: {error}"
        return
    if report.opset != candidate.opset:
        candidate.status, candidate.reason = "failed", f"wrote opset {report.opset}"
        return
    candidate.verdict, candidate.nodes = report.verdict, report.nodes
    candidate.findings = {e: report.count(e) for e in COUNTED}
    candidate.bytes = path.stat().st_size
