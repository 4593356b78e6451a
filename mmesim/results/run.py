"""What a run returns: a value. Reports are functions of it.

On disk it is a folder: ``summary.json`` and ``details.json`` (the same bytes for the same scenario and seed), the
tables as Parquet, and ``run_info.json`` with what differs from run to run: when, where and how fast.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmesim import __version__
from mmesim.errors import InputError, Problem
from mmesim.results.output import MARKER, OutputWriter

if TYPE_CHECKING:
    from pandas import DataFrame

TABLES = ("metrics", "instances", "models", "lanes")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the world's work on an instance slot."""

    slot: int
    track: str
    name: str
    start_ns: int
    end_ns: int
    args: Mapping[str, object]


@dataclass
class Spans:
    """The first spans of a run, and how many more there were."""

    kept: list[Span] = field(default_factory=list)
    dropped: int = 0


@dataclass(frozen=True)
class Run:
    """Summary, tables and series of one run."""

    summary: dict[str, Any]
    metrics: DataFrame
    """One row an interval: the endpoint."""
    instances: DataFrame
    """One row an interval and instance."""
    models: DataFrame
    """One row a model, over the measured time."""
    lanes: DataFrame
    """One row a stay of a model in an instance's memory."""
    details: dict[str, Any]
    """Resolved scenario, instance type, lives of instances, fleet log, latency sketch."""
    timing: dict[str, Any] = field(default_factory=dict)
    spans: Spans = field(default_factory=Spans)
    """For trace.json; not read back from disk."""

    @property
    def name(self) -> str:
        return str(self.summary["name"])

    @property
    def partial(self) -> bool:
        """True when the run was stopped before its end."""
        return bool(self.summary["run"]["partial"])

    @property
    def objective_met(self) -> bool:
        """True when every target was met, or none was set."""
        return self.summary["objective"]["met"] is not False

    def save(self, folder: Path) -> Path:
        """Write the run to `folder`, which is put in place at once. Raises InputError when it may not be replaced."""
        out = OutputWriter(folder)
        try:
            self.write(out)
            return out.commit()
        except BaseException:
            out.discard()
            raise

    def write(self, out: OutputWriter) -> None:
        """Write documents, tables and trace.json to a result folder in the making."""
        for name, text in self._documents().items():
            out.path(name).write_text(text, encoding="utf-8")
        for name in TABLES:
            _write_parquet(getattr(self, name), out.path(f"{name}.parquet"))
        if self.details["scenario"]["output"]["trace"]:
            from mmesim.results.perfetto import write_trace

            write_trace(self, out.path("trace.json"))

    def _documents(self) -> dict[str, str]:
        info = {"finished": datetime.now(UTC).isoformat(timespec="seconds"), **self.timing, "mmesim": __version__,
                "python": platform.python_version(), "platform": platform.platform(), "command": sys.argv}
        return {MARKER: to_json(self.summary), "details.json": json.dumps(self.details) + "\n",
                "run_info.json": to_json(info)}

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read a saved run. Raises InputError when `folder` is not one."""
        import pandas as pd

        folder = Path(folder)
        if not (folder / MARKER).is_file():
            raise InputError(Problem(f"{folder} is not a result of mmesim: it has no {MARKER}",
                                     hint="give a folder that `mmesim run` wrote, e.g. reports/quickstart"))
        try:
            documents = [json.loads((folder / name).read_text(encoding="utf-8"))
                         for name in (MARKER, "details.json", "run_info.json")]
            parquet = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
        except (OSError, ValueError) as error:
            raise InputError(Problem(f"{folder} cannot be read: {error}", hint="run it again")) from error
        return cls(summary=documents[0], details=documents[1], timing=documents[2], **parquet)


def to_json(value: Any) -> str:
    """Readable JSON with a final newline; what is not JSON is our bug."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_parquet(table: DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, compression="zstd")
