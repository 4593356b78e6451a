"""The published rows as the transcription reads them, and a profile's numbers before they are written."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

RULES = {
    "rule-weights": "rule: parameters x bytes a parameter",
    "rule-archive": "rule: .tar.gz = 0.93 x the extracted files, since trained weights hardly compress",
    "rule-host": "rule: 64 MiB a copy; what a load needs on the host is given back after it",
    "rule-share": "rule: 1, a batch fills the device: no share of a T4 is published",
    "rule-binary": "rule: 1 ms a request with a binary payload; Perf Analyzer rows leave 0.3 to 1 ms outside "
                   "queue and compute",
    "rule-batcher": "rule: Triton's default dynamic batcher: no preferred sizes, no delay",
    "rule-share-any": "rule: 1, a batch fills the device: no row was taken under load",
    "rule-bare": "rule: 0, a bare engine has neither front end nor network; host_cpu stands for them",
    "rule-counted": "rule: 0, since the latency table was taken at the client and holds it",
}
"""Rules that are stated rather than fitted: key in the files -> text."""


@dataclass(frozen=True)
class K:
    """One number as it will stand in the file."""

    value: object
    basis: str
    source: str
    at: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Device time against batch size: (batch, input ms, infer ms, output ms)."""

    points: tuple[tuple[int, float, float, float], ...]
    basis: str
    source: str
    at: str = ""
    note: str = ""

    def at_one(self) -> float:
        return sum(self.points[0][1:])


@dataclass(frozen=True)
class Profile:
    """A profile before it is written."""

    name: str
    model: str
    task: str
    input: str
    backend: str
    precision: str
    latency: Table
    files: K
    """Extracted files, MB."""
    max_batch_size: K
    instance_count: K
    gpu_bytes: K
    framework_base_bytes: K
    load_fixed: K
    overhead: K
    gpu: str = "T4"
    framework: str = ""
    note: str = ""
    preferred: K = field(default_factory=lambda: K("[]", "rule", RULES["rule-batcher"]))
    delay: K = field(default_factory=lambda: K("0ms", "rule", RULES["rule-batcher"]))
    share: K = field(default_factory=lambda: K(1.0, "rule", RULES["rule-share"]))
    cpu_cores: K | None = None
    cpu_per_request: K = field(default_factory=lambda: K("1ms", "rule", RULES["rule-binary"]))
    cpu_per_item: K = field(default_factory=lambda: K("0ms", "rule", RULES["rule-binary"]))
    host_bytes: K = field(default_factory=lambda: K("64MiB", "rule", RULES["rule-host"]))
    load_time: K | None = None


Row = dict[str, str]


class Data:
    """The published rows, and how a row is cited."""

    def __init__(self, folder: Path) -> None:
        published = folder / "triton_published"
        self.measurements = _read(published / "measurements.csv")
        self.loads = _read(published / "load_times.csv")
        self.sizes = _read(published / "model_sizes.csv")
        self.memory = _read(published / "mme_gpu_memory_series.csv")
        self.load_test = _read(folder / "sagemaker_mme_gpu" / "load_test.csv")

    def measured(self, **wanted: str) -> list[Row]:
        """Measurements on a T4 of grade A or B (unless wanted otherwise) with these cells, by batch size."""
        found = matching(self.measurements, {"gpu": "T4"} | wanted)
        kept = [row for row in found if "grade" in wanted or row["grade"] in "AB"]
        assert kept, wanted
        return sorted(kept, key=lambda row: float(row["batch_size"]))


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def matching(rows: list[Row], wanted: dict[str, str]) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def one(rows: list[Row], **wanted: str) -> Row:
    """The first row with these cells."""
    found = matching(rows, wanted)
    assert found, wanted
    return found[0]


def cite(row: Row) -> str:
    """Repository, path and revision of a row."""
    revision = f" @{row['source_commit'][:8]}" if row["source_commit"] else ""
    path = "" if row["source_path"] in row["source_repo"] else f" {row['source_path']}"
    return row["source_repo"] + path + revision


def table(rows: list[Row], basis: str = "measured", note: str = "") -> Table:
    """S(b) of the rows. TorchScript's compute_output waits for its kernels, so all parts are added."""
    points = []
    for row in rows:
        if row["compute_infer_ms"]:
            parts = [float(row[f"compute_{part}_ms"] or 0) for part in ("input", "infer", "output")]
        else:
            parts = [0.0, float(row["latency_avg_ms"]), 0.0]
        points.append((int(float(row["batch_size"])), *parts))
    if not rows[0]["compute_infer_ms"]:
        note = "; ".join(part for part in (note, "whole latency at the client; its parts are not published") if part)
    places = list(dict.fromkeys(row["source_locator"] for row in rows))
    at = places[0] if len(places) == 1 else f"{places[0]} to {places[-1].removeprefix('line ')}"
    return Table(tuple(points), basis, cite(rows[0]), "" if at.startswith("http") else at, note)


def mb(value: float) -> str:
    """A size as it is written, from 10^6 bytes."""
    return f"{value:.2f}MB"
