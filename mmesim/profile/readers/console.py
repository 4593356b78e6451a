"""What perf_analyzer prints, the form in which measurements are mostly pasted into reports.

A block stands for each load (``Request concurrency: 16`` and what follows), a summary at the end (``Concurrency: 16,
throughput: 955.7 infer/sec, latency 4311 usec``). A load that has a block is taken from the block. Lines may be quoted,
bulleted or wrapped. Everything is in usec; the mean latency is ``Avg latency``, or ``Avg HTTP time`` where the tool
was told to stabilize a percentile and does not print the mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.reading import Reading, source_name
from mmesim.profile.readers.source import Cell, total_s

KIND = "perf_analyzer console text"
VALUE = r"([-+.\deE]+)"
SUMMARY = re.compile(rf"(Concurrency|Request Rate):\s*{VALUE},\s*(?:throughput:\s*)?{VALUE} infer/sec,\s*"
                     rf"latency\s+{VALUE}\s*(\w+)", re.IGNORECASE)
BLOCK = re.compile(rf"Request (concurrency|rate):\s*{VALUE}(?!.*throughput)", re.IGNORECASE)
HEADING = re.compile(r"Inferences/Second vs\. Client (?:(p\d\d)|Average) Batch Latency", re.IGNORECASE)
THROUGHPUT = re.compile(rf"Throughput:\s*{VALUE}\s*(\S*)", re.IGNORECASE)
LATENCY = re.compile(rf"(Avg|p50|p90|p95|p99) latency:\s*{VALUE}\s*(\w+)", re.IGNORECASE)
HTTP = re.compile(rf"Avg (?:HTTP|gRPC) time:\s*{VALUE}\s*(\w+)(?:\s*\((.*)\))?", re.IGNORECASE)
SERVER = re.compile(rf"Avg request latency:\s*{VALUE}\s*(\w+)\s*\((.*)\)", re.IGNORECASE)
PART = re.compile(rf"([a-zA-Z()/ ]+?)\s+{VALUE}\s+(\w+)")
COUNT = re.compile(r"(Inference|Execution) count:\s*(\d+)", re.IGNORECASE)
BATCH = re.compile(r"Batch size:\s*(\d+)", re.IGNORECASE)
COMMAND = re.compile(r"perf_(?:analyzer|client)\s.*-")
GPU = re.compile(rf"GPU-\S+\s*:\s*{VALUE}\s*(%|bytes)", re.IGNORECASE)
PERCENTILES = {"p50": "p50_s", "p90": "p90_s", "p95": "p95_s", "p99": "p99_s", "avg": "latency_s", "": "latency_s"}
STAGES = {"queue": "queue_s", "compute input": "compute_input_s", "compute infer": "compute_infer_s",
          "compute output": "compute_output_s", "compute": "compute_infer_s"}
WAITING = "response wait"
USEC = Decimal("1e-6")
MARKS = re.compile(r"^[\s>*#]*(?:- )?")
WRAPPED = re.compile(r"Avg .*\(")
LONGEST_WRAP = 20


def is_console(text: str) -> bool:
    """Whether perf_analyzer printed some of this text."""
    return bool(SUMMARY.search(text) or ("infer/sec" in text and BLOCK.search(text)))


@dataclass
class _Block:
    """What was printed of one load so far."""

    line: int
    fields: dict[str, Any]
    counts: dict[str, int] = field(default_factory=dict)
    composing: bool = False

    @property
    def load(self) -> tuple[Any, Any]:
        return self.fields.get("concurrency"), self.fields.get("request_rate_rps")


@dataclass
class _Console:
    """The reader's state: what the next line belongs to."""

    path: Path
    model: str = ""
    batch_size: int = 1
    batch_known: bool = False
    scenario: str = ""
    summary_field: str = "latency_s"
    heading: bool = False
    run: list[_Block] = field(default_factory=list)
    """Blocks since the last summary."""
    points: dict[bool, list[OperatingPoint]] = field(default_factory=lambda: {True: [], False: []})
    """By whether the batch size is known."""
    remarks: list[str] = field(default_factory=list)

    def take(self, line: int, text: str) -> None:
        """Understand one line."""
        if COMMAND.search(text):
            self._command(text)
        elif match := SUMMARY.match(text):
            self._summary(line, match)
        elif match := HEADING.match(text):
            self.summary_field, self.heading = PERCENTILES[(match[1] or "").lower()], True
        elif match := BATCH.match(text):
            self.close()
            self.batch_size, self.batch_known = _cell(self.path, line, "Batch size", match[1]).count(1), True
        elif match := BLOCK.match(text):
            self.run.append(_Block(line, self._load(line, match)))
        elif self.run:
            self._detail(line, text, self.run[-1])

    def close(self) -> None:
        """The run is over: its blocks become points."""
        for block in self.run:
            if "throughput_per_s" not in block.fields or "latency_s" not in block.fields:
                self.remarks.append(f"{self.path.name}: the block at line {block.line} is not whole: left out")
                continue
            self._add(block.line, block.fields, _batch_note(block.counts))
        self.run = []

    def _command(self, text: str) -> None:
        self.close()
        model, batch, protocol = (re.search(rf"\s{option}[ =]+(\S+)", text) for option in ("-m", "-b", "-i"))
        self.model = model[1] if model else ""
        self.batch_known = bool(batch and batch[1].isdecimal())
        self.batch_size = max(1, int(batch[1][:9])) if batch and self.batch_known else 1
        self.scenario = "online" if protocol and protocol[1].lower() in ("grpc", "http") else ""

    def _load(self, line: int, match: re.Match[str]) -> dict[str, Any]:
        cell = _cell(self.path, line, match[1], match[2].rstrip("."))
        return ({"concurrency": cell.count(1)} if match[1].lower() == "concurrency"
                else {"request_rate_rps": float(cell.number())})

    def _summary(self, line: int, match: re.Match[str]) -> None:
        fields = self._load(line, match)
        fields["throughput_per_s"] = float(_cell(self.path, line, "throughput", match[3]).number())
        fields[self.summary_field] = _usec(self.path, line, "latency", match[4], match[5])
        if not self.heading:
            self.remarks.append(f"{self.path.name}: the summary at line {line} has no heading: latency taken for "
                                "the mean")
            self.heading = True
        known = {block.load for block in self.run if "throughput_per_s" in block.fields}
        known |= {(point.concurrency, point.request_rate_rps) for points in self.points.values() for point in points
                  if point.throughput_per_s == fields["throughput_per_s"]}
        if (fields.get("concurrency"), fields.get("request_rate_rps")) not in known:
            self._add(line, fields, "")

    def _add(self, line: int, fields: dict[str, Any], note: str) -> None:
        self.points[self.batch_known].append(OperatingPoint(
            **fields, model=self.model, batch_size=self.batch_size, scenario=self.scenario,
            source=source_name(self.path), at=f"line {line}", note=note))

    def _detail(self, line: int, text: str, block: _Block) -> None:
        if text.lower().startswith("composing models"):
            block.composing = True
        elif match := GPU.match(text):
            self._gpu(line, match, block)
        elif block.composing:
            return
        elif match := THROUGHPUT.match(text):
            if match[2].rstrip(".") not in ("infer/sec", "infer/s"):
                raise _cell(self.path, line, "Throughput", f"{match[1]} {match[2]}").wrong(hint="expected infer/sec")
            block.fields["throughput_per_s"] = float(_cell(self.path, line, "Throughput", match[1]).number())
        elif match := LATENCY.match(text):
            value = _usec(self.path, line, f"{match[1]} latency", match[2], match[3])
            block.fields[PERCENTILES[match[1].lower()]] = value
        elif match := HTTP.match(text):
            block.fields.setdefault("latency_s", _usec(self.path, line, "Avg time", match[1], match[2]))
            ends = [value for name, value in _parts(self.path, line, match[3] or "") if name != WAITING]
            block.fields |= {"send_recv_s": total_s(ends)} if ends else {}
        elif match := SERVER.match(text):
            block.fields |= {STAGES[name]: value for name, value in _parts(self.path, line, match[3]) if name in STAGES}
            block.fields |= _network(block.fields)
        elif match := COUNT.match(text):
            block.counts.setdefault(match[1].lower(), int(match[2][:15]))

    def _gpu(self, line: int, match: re.Match[str], block: _Block) -> None:
        value = _cell(self.path, line, "GPU", match[1]).number()
        name = "gpu_utilization" if match[2] == "%" else "gpu_bytes"
        used = float(value / 100) if match[2] == "%" else int(value)
        block.fields.setdefault(name, used)  # the use is printed before the total, the first GPU before the others


def read_console(path: Path, text: str) -> list[Reading]:
    """All loads in a console text, those of unknown batch size apart; the model may be missing. Raises InputError."""
    state = _Console(path)
    for line, joined in _lines(text):
        state.take(line, joined)
    state.close()
    if not any(state.points.values()):
        raise InputError(Problem("holds no whole measurement of perf_analyzer", file=str(path),
                                 hint="; ".join(state.remarks) or "paste the text from 'Request concurrency' on"))
    return [Reading(path, KIND, points, state.remarks, batch_known=known)
            for known, points in state.points.items() if points]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) without quote marks and bullets; wrapped lines are joined."""
    pending: list[str] = []
    start = 0
    for number, raw in enumerate(text.splitlines(), 1):
        bare = MARKS.sub("", raw).strip().strip("`")
        start = start if pending else number
        pending.append(bare.removesuffix("\\").strip())
        joined = " ".join(pending)
        wrapped = bare.endswith("\\") or (WRAPPED.match(joined) and joined.count("(") > joined.count(")"))
        if not wrapped or len(pending) == LONGEST_WRAP:
            yield start, joined
            pending = []
    if pending:
        yield start, " ".join(pending)


def _cell(path: Path, line: int, name: str, text: str) -> Cell:
    return Cell(path, line, name, text.strip())


def _usec(path: Path, line: int, name: str, text: str, unit: str) -> float:
    if unit != "usec":
        raise _cell(path, line, name, f"{text} {unit}").wrong(hint="perf_analyzer prints usec: convert it back")
    return float(_cell(path, line, name, text).number() * USEC)


def _parts(path: Path, line: int, text: str) -> list[tuple[str, float]]:
    """Name and seconds of ``queue 15854 usec + compute input 20 usec``."""
    found = [match for part in text.split("+") if (match := PART.match(part.strip(" *")))]
    return [(match[1].strip().lower(), _usec(path, line, match[1].strip(), match[2], match[3])) for match in found]


def _network(fields: dict[str, Any]) -> dict[str, float]:
    """The mean latency without the client's and the server's parts, where these add up to less."""
    parts = [fields.get(name) for name in ("send_recv_s", "queue_s", "compute_infer_s")]
    if "latency_s" not in fields or None in parts:
        return {}
    rest = total_s([fields["latency_s"], *(-fields.get(name, 0.0) for name in ("send_recv_s", *set(STAGES.values())))])
    return {"network_s": rest} if rest >= 0 else {}


def _batch_note(counts: dict[str, int]) -> str:
    if not counts.get("execution") or "inference" not in counts:
        return ""
    return f"mean executed batch {counts['inference'] / counts['execution']:.3g}"
