"""What an export came to: every candidate, what was proved of it, and why the chosen one won."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from graphfix.analysis import EFFECT_ORDER

COUNTED = tuple(e for e in EFFECT_ORDER if e != "note")


@dataclass
class Proof:
    """The outputs of one candidate in ONNX Runtime against the original's.

    `passed` is None when there was nothing to compare with. `runs` lists, for each sample, the
    sizes of the dynamic axes and the greatest differences of each output.
    """

    passed: bool | None
    reason: str
    runs: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Candidate:
    """One exporter at one opset.

    `status`: chosen, beaten (another one was better, or as good and earlier), wrong (its proof
    failed), baked (it computes for the traced sizes only), failed (nothing that runs).
    What is known of it is None as long as nobody has looked: a beaten one is not proved.
    `doubled_bytes` are those that the file has beyond the weights, tied or folded ones that were
    written twice.
    """

    exporter: str
    opset: int
    status: str
    reason: str = ""
    verdict: str | None = None
    findings: dict[str, int] | None = None
    nodes: int | None = None
    bytes: int | None = None
    doubled_bytes: int = 0
    seconds: float = 0.0
    proof: Proof | None = None

    @property
    def rank(self) -> tuple[int, ...]:
        """What is compared: findings by effect, the worst first, doubled weights, then nodes."""
        counts = self.findings or {}
        return (*(counts.get(e, 0) for e in COUNTED), self.doubled_bytes >> 20, self.nodes or 0)

    @property
    def label(self) -> str:
        """Exporter and opset."""
        return f"{self.exporter} {self.opset}"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Candidate:
        """Return what `dataclasses.asdict` gave."""
        proof = document["proof"]
        return cls(**{**document, "proof": None if proof is None else Proof(**proof)})


@dataclass
class Export:
    """What `graphfix.export` returns. `path` is the file that was written, None when none was.

    `inputs` and `outputs` are as the model declares them; `weight_bytes` are those of the original,
    each weight once, None where the original was not loaded; `peak_bytes` is the largest memory of
    the process that exported, where the system tells it.
    """

    spec: str
    path: Path | None
    soc: list[str]
    candidates: list[Candidate]
    notes: list[str]
    weight_bytes: int | None = None
    seconds: float = 0.0
    peak_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that was written."""
        return next((c for c in self.candidates if c.status == "chosen"), None)

    @property
    def why(self) -> str:
        """Why the chosen one won, or why there is none."""
        chosen = self.chosen
        if chosen is None:
            return "no candidate passed"
        rivals = [c for c in self.candidates if c.status == "beaten"]
        if not rivals:
            return "the only one that passed" if len(self.candidates) > 1 else "asked for"
        second = min(rivals, key=lambda c: c.rank)
        for effect in COUNTED:
            have, other = ((c.findings or {}).get(effect, 0) for c in (chosen, second))
            if have != other:
                return f"{have} {effect}, the next best ({second.label}) has {other}"
        if chosen.doubled_bytes >> 20 != second.doubled_bytes >> 20:
            return f"as many findings as {second.label}, which writes weights twice"
        if chosen.nodes != second.nodes:
            nodes = "1 node" if chosen.nodes == 1 else f"{chosen.nodes} nodes"
            return f"as many findings as {second.label}, and {nodes} instead of {second.nodes}"
        return f"equal to {second.label}, tried first"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON contract `graphfix.export/1`."""
        return {
            "schema": "graphfix.export/1",
            "spec": self.spec,
            "model": None if self.path is None else str(self.path),
            "soc": self.soc,
            "chosen": None if self.chosen is None else self.candidates.index(self.chosen),
            "why": self.why,
            "candidates": [asdict(c) for c in self.candidates],
            "notes": self.notes,
            "weight_bytes": self.weight_bytes,
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "versions": self.versions,
        }
