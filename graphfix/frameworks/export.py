"""export: lead the worker, survive what it does, and put the winner into place.

Building a model, exporting and proving it run the user's code and PyTorch's, which may print,
exit, crash or eat all memory. They do so in a process of their own; what it prints goes to a log.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx

from graphfix.errors import GraphfixError, UsageError
from graphfix.frameworks.converters import convert
from graphfix.frameworks.outcome import Candidate, Export
from graphfix.frameworks.request import TORCHSCRIPT, Request
from graphfix.frameworks.source import OF_TORCH, check_trust, identify
from graphfix.frameworks.worker import EVENTS, JOB, MODEL
from graphfix.graph.saving import write_atomically
from graphfix.graph.tensors import external_reference, tensors_of
from graphfix.support import Tables, Target

_LOG = "log.txt"
# the worker sees what the command saw: its packages and, first, the user's folder
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from graphfix.frameworks.worker import main; main(sys.argv[2:])"
)
_NO_TORCH = "needs PyTorch: pip install 'graphfix[export]'"


class ExportFailed(GraphfixError):
    """No candidate passed. `export` has all of them."""

    exit_code = 1

    def __init__(self, message: str, export: Export) -> None:
        super().__init__(message)
        self.export = export


def export(
    spec: str | Request,
    output: str | os.PathLike[str],
    target: Target | None = None,
    *,
    tables: Tables | None = None,
    on_tick: Callable[[float], None] = lambda seconds: None,
) -> Export:
    """Export a model to `output` by the exporter and opset that CANN likes best.

    Args:
        spec: what to export, or a Request that also says inputs, dynamic axes and what to try.
        output: the .onnx file to write; large weights go to a file beside it.
        target: what the candidates are checked for; None: any SoC, the default release.
        tables: the operator tables to check with.
        on_tick: gets the elapsed seconds, about five times a second.

    Returns:
        every candidate with its findings, what was proved, and which one was written.

    Raises:
        UsageError: the spec, its inputs or the output make no sense, or torch is not installed.
        ExportFailed: no candidate passed; nothing was written.
    """
    request = Request(spec) if isinstance(spec, str) else spec
    target = Target.of() if target is None else target
    source = identify(request.spec)
    check_trust(source, request.trust)
    path = Path(output)
    _check_output(path, source.path)
    start = time.monotonic()
    with _folder_beside(path) as folder:
        if source.kind in OF_TORCH:
            if find_spec("torch") is None:
                raise UsageError(f"{request.spec}: {_NO_TORCH}.")
            result = _lead(request, target, tables or Tables(), folder, on_tick)
        else:
            result = convert(source, request, target, tables, folder, on_tick)
        result.seconds = round(time.monotonic() - start, 2)
        chosen = result.chosen
        if chosen is None:
            raise ExportFailed(_why_none(result), result)
        if chosen.exporter == TORCHSCRIPT and any(
            "data-dependent" in c.reason for c in result.candidates if c.exporter != TORCHSCRIPT
        ):
            result.notes.append(
                "the other exporter stopped at a branch or size that depends on data: this file "
                "may hold only what the made-up inputs took, and the proof covers no other. Write "
                "a branch as torch.where, and export again"
            )
        try:
            result.notes += _publish(folder / f"{chosen.exporter}-{chosen.opset}", path)
        except OSError as error:
            raise UsageError(f"-o {path}: cannot be written ({error.strerror}).") from None
    result.path = path
    return result


def _check_output(path: Path, source: Path | None) -> None:
    if path.is_dir():
        raise UsageError(f"-o {path}: is a folder; give a file.")
    if not path.parent.is_dir():
        raise UsageError(f"-o {path}: there is no such folder ({path.parent}); create it first.")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise UsageError(f"-o {path}: is the input, which is never changed; give another file.")


@contextlib.contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A folder on the disk of the output, so that moving costs nothing; it never stays."""
    try:
        name = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"-o {path}: cannot be written ({error.strerror}).") from None
    try:
        yield Path(name).resolve()
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _publish(folder: Path, path: Path) -> list[str]:
    """Move a finished model into place: the weights first, under a name that is free.

    Returns what the user should know of the files.
    """
    model, weights = folder / MODEL, folder / f"{MODEL}.weights"
    if not weights.exists():
        mode = 0o666 & ~_umask()
        model.chmod(path.stat().st_mode & 0o777 if path.exists() else mode)
        model.replace(path)
        return []
    target = path.with_name(f"{path.name}.weights")
    number = 2
    while target.exists():  # weights of another model, or of the one that is replaced
        target = path.with_name(f"{path.name}.{number}.weights")
        number += 1
    proto = onnx.load(model, load_external_data=False)
    for tensor in tensors_of(proto):
        if external_reference(tensor) is not None:
            next(e for e in tensor.external_data if e.key == "location").value = target.name
    weights.replace(target)
    try:
        write_atomically(path, proto.SerializeToString())
    except BaseException:
        target.unlink()
        raise
    notes = [f"the weights lie in {target.name}; move both files together"]
    if number > 2:
        notes.append(
            f"{path.name}.weights stays as it was: it holds the weights of an earlier or another "
            "model; delete it when no model needs it"
        )
    return notes


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------------- the worker


def start_worker(folder: Path, on_tick: Callable[[float], None]) -> str | None:
    """Run the worker on the job in `folder`; returns how it ended where that was no good end."""
    from graphfix.atc.process import run_program

    paths = [str(Path.cwd()), *(p for p in sys.path if p)]
    command = [sys.executable, "-c", _START, json.dumps(paths), str(folder)]
    done = run_program(command, folder / _LOG, folder=Path.cwd(), on_tick=on_tick)
    if done.how == "cancelled":
        raise KeyboardInterrupt
    return None if done.exit_code == 0 else done.sentence


def _lead(
    request: Request,
    target: Target,
    tables: Tables,
    folder: Path,
    on_tick: Callable[[float], None],
) -> Export:
    """Run the worker, and again without what it crashed on, until everything was tried."""
    result = Export(request.spec, None, [s.name for s in target.socs], [], [])
    job: dict[str, Any] = {
        "request": request.to_json(),
        "soc": result.soc,
        "cann": target.release.name,
        "precision_mode": target.precision_mode,
        "op_support": [str(path) for path, _ in tables.overlays],
    }
    while True:
        best = result.chosen
        job["done"] = [[c.exporter, c.opset] for c in result.candidates]
        job["best"] = None if best is None else asdict(best)
        (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
        (folder / EVENTS).unlink(missing_ok=True)
        ended = start_worker(folder, on_tick)
        running, finished = _read_events(folder, result)
        if finished:
            return result
        how = ended or "ended early"
        if running is None:
            raise UsageError(
                f"{request.spec}: the process that builds the model ended before any exporter was "
                f"tried: {how}.{_last_words(folder / _LOG)}"
            )
        exporter, opset = running
        shutil.rmtree(folder / f"{exporter}-{opset}", ignore_errors=True)
        reason = f"its process ended: {how}.{_last_words(folder / _LOG)}"
        result.candidates.append(Candidate(exporter, opset, "failed", reason))


def _read_events(folder: Path, result: Export) -> tuple[tuple[str, int] | None, bool]:
    """Take over what the worker noted. Returns the candidate it was at, and whether it finished.

    Raises what the worker refused.
    """
    path = folder / EVENTS
    running: tuple[str, int] | None = None
    if not path.exists():
        return None, False
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            break  # the last line of a process that was ended
        kind = event.pop("event")
        if kind == "loaded":
            result.weight_bytes = event["weight_bytes"]
            result.notes = event["notes"]
            result.versions = event["versions"]
        elif kind == "started":
            running = (event["exporter"], event["opset"])
        elif kind == "candidate":
            running = None
            _add(Candidate.from_json(event), result)
        elif kind == "refused":
            error = GraphfixError(event["message"])
            error.exit_code = event["exit_code"]
            raise error
        elif kind == "end":
            result.peak_bytes = event["peak_bytes"]
            return None, True
    return running, False


def _add(candidate: Candidate, result: Export) -> None:
    before = result.chosen
    if candidate.status == "chosen" and before is not None:
        before.status = "beaten"
    result.candidates.append(candidate)


def _last_words(log: Path) -> str:
    """Return the last line that the process printed, as a sentence."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f" Its last words: {lines[-1][:200]}" if lines else ""


def _why_none(result: Export) -> str:
    states = {c.status for c in result.candidates}
    first = next((c for c in result.candidates if c.status != "failed"), result.candidates[0])
    if "baked" in states and all(c.exporter == TORCHSCRIPT for c in result.candidates):
        hint = "Let the other exporter try (--exporter dynamo), or leave --dynamic out."
    elif "baked" in states:
        hint = (
            "Leave --dynamic out for a static model, or mend what depends on the size (a Python "
            "number taken from x.shape, int(), range())."
        )
    elif "wrong" in states:
        hint = (
            "Tracing keeps one way of a Python `if` or loop that looks at values: write it with "
            "torch.where. Otherwise the exporter is at fault: try the other one, or another opset."
        )
    else:
        hint = "Change the module where the exporter stops, or try another --exporter or --opset."
    return (
        f"{result.spec}: no exporter gave a model that computes what the original does; nothing "
        f"was written. {first.label}: {first.reason}. {hint}"
    )
