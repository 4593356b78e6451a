"""What this machine's Triton, gateway and S3 server really take: measured in one live run, for the simulation of
another. Nothing here looks at the run that is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.live.timings import Timings
from mmesim.scenario.build import Build

if TYPE_CHECKING:
    from pandas import DataFrame

UNLOAD_POLL_S = 0.001
"""The live endpoint sees the end of an unload at once; the simulator's smallest poll is as good."""
FAST = "100Gbps"
"""Loopback and page cache: what they take is in the measured times already."""


@dataclass(frozen=True)
class Law:
    """Mean and coefficient of variation of a time, and how many there were."""

    mean_s: float
    cv: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Law:
        """Of measured seconds; nothing measured: 0."""
        if not len(values):
            return cls(0.0, 0.0, 0)
        mean = float(np.mean(values))
        return cls(mean, float(np.std(values) / mean) if mean else 0.0, len(values))


@dataclass(frozen=True)
class Measured:
    """Times of one machine."""

    download: Law
    """From the request to S3 until the files are on the disk."""
    loads: tuple[Law, ...]
    """By group of the scenario's models."""
    unload: Law
    overhead_s: float
    """Of a warm request that waited for nobody: all but its service time (median)."""
    first_inference_s: float
    """What the first request after a load takes longer at the server (median)."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def measure(build: Build, timings: Timings, requests: DataFrame) -> Measured:
    """`timings` of the endpoint's journal, `requests` as the generator recorded them (requests.parquet)."""
    group_of = np.repeat(np.arange(len(build.scenario.models)), [group.count for group in build.scenario.models])
    loads = [Law.of([s for model, times in timings.load_s.items() if group_of[model] == n for s in times])
             for n in range(len(build.scenario.models))]
    service_ns = {model.spec.name: int(model.service.service_ns[1]) for model in build.models}
    answered = requests[requests["failure"] == "none"].reset_index(drop=True)
    extra_ns = answered["latency_ns"] - answered["load_ns"] - answered["model"].astype(str).map(service_ns)
    is_warm = answered["tier"] == "gpu"
    warm_ns = float(extra_ns[is_warm].median())
    cold_ns = extra_ns[_waited_alone(answered[~is_warm])]
    return Measured(
        download=Law.of([s for times in timings.download_s.values() for s in times]), loads=tuple(loads),
        unload=Law.of([s for times in timings.unload_s.values() for s in times]), overhead_s=warm_ns / 1e9,
        first_inference_s=max(0.0, (float(cold_ns.median()) - warm_ns) / 1e9) if len(cold_ns) else 0.0)


def _waited_alone(cold: DataFrame) -> list[int]:
    """Rows of requests beside which no other waited for the same model: nobody was in front of them after the load."""
    alone: list[int] = []
    for _, rows in cold.groupby(cold["model"].astype(str)):
        ordered = rows.sort_values("issued_ns")
        ended_ns = ordered["issued_ns"] + ordered["latency_ns"]
        before = ended_ns.cummax().shift(fill_value=0) <= ordered["issued_ns"]
        after = ordered["issued_ns"].shift(-1, fill_value=np.iinfo(np.int64).max) >= ended_ns
        alone += ordered.index[before & after].tolist()
    return sorted(alone)


def as_settings(measured: Measured) -> list[str]:
    """The measured times as settings of the scenario (``path=value``)."""
    download, unload = measured.download, measured.unload
    spread = [law.cv for law in measured.loads if law.count > 1]
    settings: Mapping[str, Any] = {
        "endpoint.storage.s3_first_byte": f"{{law: lognormal, mean: {download.mean_s:.6f}s, cv: {download.cv:.4f}}}",
        "endpoint.storage.s3_connection_rate": FAST, "endpoint.storage.extract_rate": FAST,
        "endpoint.server.unload_poll": f"{UNLOAD_POLL_S}s",
        "endpoint.server.unload_time": f"{{law: constant, mean: {max(0.0, unload.mean_s - UNLOAD_POLL_S):.6f}s}}",
        "endpoint.server.load_time_cv": f"{np.mean(spread) if spread else 0.0:.4f}",
        "endpoint.server.frontend_overhead": f"{max(0.0, measured.overhead_s):.6f}s",
        "endpoint.server.first_inference": f"{measured.first_inference_s:.6f}s",
        **{f"models.{n}.load_time": f"{law.mean_s:.6f}s" for n, law in enumerate(measured.loads) if law.count}}
    return [f"{path}={value}" for path, value in settings.items()]
