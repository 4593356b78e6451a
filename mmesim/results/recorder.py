"""Collects what a run gives, while it runs, in memory that does not grow with the number of requests.

The engine tells it every controller step; the meter tells it counters and levels at every boundary. Boundaries must
include every multiple of ``output.interval`` and the end of the warm-up: a row of the time series never mixes two
intervals, nor warm-up and measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.dataplane.counters import Counters
from mmesim.results import invariants, tables
from mmesim.results.fleet import numbers_at
from mmesim.results.lanes import Lanes
from mmesim.results.output import OutputWriter
from mmesim.results.requests import RequestWriter
from mmesim.results.run import Run, Span, Spans
from mmesim.results.series import Row, Series
from mmesim.results.summary import Measured, summarise, total_of
from mmesim.results.types import Gauges, InstanceLife, StepSink
from mmesim.units import ns

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.scenario.build import Build

MAX_SPANS = 200_000
"""Bars kept for trace.json: what Perfetto shows fluently (about 30 MB); later ones are counted only."""


class Recorder:
    """Feed it while a run goes on; `finish` gives the :class:`Run`."""

    def __init__(self, build: Build, out: OutputWriter | None = None, journal: StepSink | None = None) -> None:
        """`out`: where streamed files go (None: nothing is written). `journal`: gets every step, closed at the end."""
        self.build = build
        self._journal = journal
        self.wants_decisions = journal is not None and build.scenario.output.decisions
        """True: the controller should keep how policies decide."""
        self._series = Series(ns(build.scenario.output.interval), build.warmup_ns)
        self._lanes = Lanes()
        self._spans = Spans()
        self._keeps_spans = out is not None and build.scenario.output.trace
        self._requests = RequestWriter(out.path("requests.parquet"), [model.spec.name for model in build.models]) \
            if out is not None and build.scenario.output.requests else None

    def interval(self, counters: Counters, gauges: Gauges) -> None:
        """Counters since the last boundary, and the levels at this one."""
        self._close(self._series.add(counters, gauges))

    def _close(self, row: Row | None) -> None:
        if row is None:
            return
        row.counts = self._lanes.take_counts()
        if row.warmup:
            self._lanes.unload_reasons.clear()

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None:
        """One controller step: an event, the actions that answered it, and how policies came to them."""
        if self._journal is not None:
            self._journal.step(now_ns, event, actions, decisions)
        self._lanes.step(now_ns, event, actions)

    def span(self, instance: int, track: str, name: str, start_ns: int, end_ns: int, **args: object) -> None:
        """A piece of the world's work for trace.json; tracks: download, extract, load, unload (the last two are known
        from the steps already, with reasons)."""
        if not self._keeps_spans or track in ("load", "unload"):
            return
        if len(self._spans.kept) < MAX_SPANS:
            self._spans.kept.append(Span(instance, track, name, start_ns, end_ns, args))
        else:
            self._spans.dropped += 1

    def requests(self, rows: NDArray[np.void]) -> None:
        """REQUEST_RECORD rows, in order of ending."""
        if self._requests is not None:
            self._requests.write(rows)

    def finish(self, *, ended_ns: int, partial: bool, fleet: Sequence[InstanceLife], model_counters: NDArray[np.void],
               model_sketches: NDArray[np.integer[Any]], in_flight: int, in_flight_age_ns: int,
               wall_s: float) -> Run:
        """Check the invariants and put it all together; `partial`: the run was stopped before its end."""
        self._close(self._series.close())
        for stream in (self._requests, self._journal):
            if stream is not None:
                stream.close()
        measured = self._measured(ended_ns, partial, fleet, in_flight, in_flight_age_ns)
        invariants.check(measured.totals)
        invariants.check_models(measured.counters, model_counters)
        lanes = self._lanes.finish(ended_ns)
        instances = tables.instance_table(self.build, self._series.rows, fleet)
        metrics = tables.metrics_table(self.build, self._series.rows, instances)
        models = tables.model_table(self.build, model_counters, model_sketches, lanes, measured.since_ns, ended_ns)
        summary = summarise(measured, instances, models)
        invocations = int(measured.totals.endpoint["invocations"])
        return Run(summary=summary, metrics=metrics, instances=instances, models=models,
                   lanes=self._named_lanes(lanes, fleet), details=self._details(measured), spans=self._spans,
                   timing={"wall_s": wall_s, "invocations_per_s": invocations / wall_s if wall_s else None})

    def _measured(self, ended_ns: int, partial: bool, fleet: Sequence[InstanceLife], in_flight: int,
                  in_flight_age_ns: int) -> Measured:
        """What the summary covers; all of it when the run ended within its warm-up."""
        series, build = self._series, self.build
        past_warmup = ended_ns > build.warmup_ns
        return Measured(
            build=build, rows=[row for row in series.rows if not (row.warmup and past_warmup)],
            sketch=series.sketch if past_warmup else series.warmup_sketch,
            since_ns=build.warmup_ns if past_warmup else 0, until_ns=ended_ns, lives=fleet,
            unload_reasons=self._lanes.unload_reasons, partial=partial,
            totals=invariants.Totals(total_of(series.rows), int((series.sketch + series.warmup_sketch).sum()),
                                     in_flight, in_flight_age_ns))

    def _named_lanes(self, lanes: DataFrame, fleet: Sequence[InstanceLife]) -> DataFrame:
        """Lanes with the instance's number and the model's name."""
        names = np.array([model.spec.name for model in self.build.models], object)
        lanes.insert(0, "instance", numbers_at(fleet, lanes["slot"].to_numpy(), lanes["load_ns"].to_numpy()))
        lanes["model"] = names[lanes["model"].to_numpy(np.int64)]
        return lanes

    def _details(self, measured: Measured) -> dict[str, Any]:
        """What reports need besides the tables."""
        kind = self.build.instance_type
        used = np.flatnonzero(measured.sketch.sum(axis=0))
        scenario = self.build.scenario
        return {"scenario": scenario.model_dump(mode="json", by_alias=True),
                "written": scenario.model_dump(mode="json", by_alias=True, exclude_unset=True),
                "instance_type": {name: value for name, value in asdict(kind).items() if name != "marks"},
                "fleet": [asdict(life) for life in measured.lives], "fleet_log": self._lanes.fleet_log,
                "usable": asdict(self.build.endpoint.instance), "spans_dropped": self._spans.dropped,
                "latency_sketch": {"bucket": used.tolist(), "count_by_tier": measured.sketch[:, used].tolist()}}
