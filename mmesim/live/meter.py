"""What happens at a live endpoint, counted: one CloudWatch period at a time for the policies, and all of it for
Prometheus. No clock, no I/O: whoever knows tells it.

A published value means what it means in a simulated run (`mmesim.sim.cloudwatch`), and is computed so:

* `ModelLatency` is the server's part of an answered invocation: its latency less its wait for a load and the gateway's
  own time, which are its `OverheadLatency`. The percentiles are those of answers of loaded models, from a sketch with a
  relative error of at most 1/128.
* `Invocations` counts arrivals. Each request is told of at its end and those in flight at a period's end are told of
  with it, so the arrivals of a period, and the time integral of the requests in flight, follow exactly.
* `InvocationsPerInstance` and `ConcurrentRequestsPerModel` are for each instance that told its levels in the period.
* Of an instance's levels in a period, utilisations of CPU and GPU are averaged, of the others the last counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mmesim.core.metrics import NS_PER_US, PERCENTILES, PUBLISHED, Values, error_counts, mean_of, statistics
from mmesim.core.types import Failure, Tier
from mmesim.dataplane.counters import SKETCH_BUCKETS, sketch_bucket
from mmesim.results.sketch import quantiles_ns

AVERAGED = ("CPUUtilization", "GPUUtilization")
OF_INSTANCES = (*AVERAGED, "MemoryUtilization", "DiskUtilization", "GPUMemoryUtilization", "LoadedModelCount")
MODEL_SERIES = 200
"""So many models have counters of their own, the first that are asked for; all others share one."""
OTHERS = "(others)"
US_PER_S = 1e6


@dataclass
class Sums:
    """Sums over requests that have ended."""

    ended: int = 0
    ended_ns: int = 0
    """Their latencies, however they ended."""
    failures: list[int] = field(default_factory=lambda: [0] * len(Failure))
    answered: int = 0
    answered_ns: int = 0
    server_ns: int = 0
    """Of answered ones, and so are the next."""
    loading_wait_ns: int = 0
    hits: int = 0
    server_sketch: list[int] = field(default_factory=lambda: [0] * SKETCH_BUCKETS)
    """The server's part, of answers of loaded models."""


@dataclass
class ModelCount:
    """A model's requests since the start."""

    requests: int = 0
    failed: int = 0
    hits: int = 0


class Meter:
    """Of one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.sketches: list[list[int]] = [[0] * SKETCH_BUCKETS for _ in Tier]
        """Since the start: whole latencies of answers by tier, as sketches."""
        self.latency_ns = [0] * len(Tier)
        """Since the start: their sums."""
        self.failures = [0] * len(Failure)
        """Since the start; NONE: answered."""
        self.models: defaultdict[str, ModelCount] = defaultdict(ModelCount)
        self.actions: dict[str, tuple[int, float]] = dict.fromkeys(("download", "load", "unload"), (0, 0.0))
        """Since the start: how many ended well, and their seconds."""
        self.published: Mapping[str, float] = {}
        """The last period."""
        self.scraped: dict[int, Mapping[str, float]] = {}
        """The last levels of each instance in that period, and since."""
        self.health: dict[str, float] = {}
        """Figures of other parts of this program, e.g. of the journal, by the name they have in Prometheus."""
        self._period = Sums()
        self._times: defaultdict[str, list[float]] = defaultdict(list)
        self._levels: defaultdict[int, list[Mapping[str, float]]] = defaultdict(list)
        self._began_ns = 0
        self._in_flight: list[int] = []
        """Ages in ns of the requests in flight when the period began."""

    def request(self, model: str, instance: int, tier: Tier, failure: Failure, latency_ns: int, overhead_ns: int = 0,
                loading_wait_ns: int = 0) -> None:
        """A request is over. `overhead_ns`: the gateway's own part of its latency."""
        sums = self._period
        sums.ended += 1
        sums.ended_ns += latency_ns
        self.failures[failure] += 1
        if failure is not Failure.NO_SUCH_MODEL:  # such names are anybody's invention
            self._count_model(model, tier, failure)
        if failure is not Failure.NONE:
            sums.failures[failure] += 1
            return
        server_ns = max(0, latency_ns - overhead_ns - loading_wait_ns)
        sums.answered += 1
        sums.answered_ns += latency_ns
        sums.server_ns += server_ns
        sums.loading_wait_ns += loading_wait_ns
        self.sketches[tier][sketch_bucket(latency_ns)] += 1
        self.latency_ns[tier] += latency_ns
        if tier is Tier.GPU:
            sums.hits += 1
            sums.server_sketch[sketch_bucket(server_ns)] += 1

    def _count_model(self, model: str, tier: Tier, failure: Failure) -> None:
        count = self.models[model if model in self.models or len(self.models) < MODEL_SERIES else OTHERS]
        count.requests += 1
        count.failed += failure is not Failure.NONE
        count.hits += failure is Failure.NONE and tier is Tier.GPU

    def download(self, instance: int, seconds: float) -> None:
        """An archive has become files on an instance's disk."""
        self._action("download", "ModelDownloadingTime", seconds)

    def load(self, instance: int, seconds: float) -> None:
        """A server has loaded a model."""
        self._action("load", "ModelLoadingTime", seconds)

    def unload(self, instance: int, seconds: float) -> None:
        """A server has unloaded a model."""
        self._action("unload", "ModelUnloadingTime", seconds)

    def _action(self, action: str, metric: str, seconds: float) -> None:
        count, total_s = self.actions[action]
        self.actions[action] = (count + 1, total_s + seconds)
        self._times[metric].append(seconds * US_PER_S)

    def levels(self, instance: int, scraped: Mapping[str, float]) -> None:
        """What an instance in service has just told (`mmesim.live.ports.Server.scrape`)."""
        self._levels[instance].append(scraped)
        self.scraped[instance] = scraped

    def period(self, now_ns: int, in_flight_ages_ns: Iterable[int] = ()) -> Mapping[str, float]:
        """The values of the period that ends now, by ``Name.Statistic``; a metric without data is absent.

        `in_flight_ages_ns`: how long ago each request arrived that has not ended.
        """
        waiting = list(in_flight_ages_ns)
        values = self._request_values(now_ns, waiting)
        for name, samples in self._times.items():
            values.update(statistics(name, samples))
        for name in OF_INSTANCES:
            values.update(statistics(name, self._of_instances(name)))
        self.published, self.scraped = values, {one: readings[-1] for one, readings in self._levels.items()}
        self._period, self._began_ns, self._in_flight = Sums(), now_ns, waiting
        self._times.clear()
        self._levels.clear()
        assert all(key.partition(".")[0] in PUBLISHED for key in values)
        return values

    def _request_values(self, now_ns: int, waiting: list[int]) -> Values:
        sums, instances = self._period, len(self._levels)
        invocations = max(0, sums.ended + len(waiting) - len(self._in_flight))
        values: Values = {"Invocations.Sum": float(invocations)}
        if instances and now_ns > self._began_ns:
            in_flight_ns = sums.ended_ns + sum(waiting) - sum(self._in_flight)
            values["InvocationsPerInstance.Sum"] = invocations / instances
            values["ConcurrentRequestsPerModel.Average"] = in_flight_ns / (now_ns - self._began_ns) / instances
        values.update(error_counts(sums.failures, invocations))
        answered = sums.answered
        values.update(mean_of("ModelLatency", sums.server_ns / NS_PER_US, answered))
        found = quantiles_ns(np.array(sums.server_sketch), tuple(PERCENTILES.values()))
        values.update({f"ModelLatency.{name}": latency_ns / NS_PER_US
                       for name, latency_ns in zip(PERCENTILES, found, strict=True) if latency_ns is not None})
        values.update(mean_of("OverheadLatency", (sums.answered_ns - sums.server_ns) / NS_PER_US, answered))
        values.update(mean_of("ModelLoadingWaitTime", sums.loading_wait_ns / NS_PER_US, answered))
        values.update(mean_of("ModelCacheHit", sums.hits, answered))
        return values

    def _of_instances(self, name: str) -> list[float]:
        """One sample for each instance that told it."""
        samples = []
        for readings in self._levels.values():
            told = [reading[name] for reading in readings if name in reading]
            if told:
                samples.append(sum(told) / len(told) if name in AVERAGED else told[-1])
        return samples
