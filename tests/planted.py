"""Scenarios whose cheapest fleet is known beforehand, each with the argument why, and the resource that binds.

All are built of the same brick: an exact server (no spread of load times, no overhead, no memory of its own) and one
profile, changed where the case says so. Unless it says otherwise: a GPU with room for 4 models of 1 GB, 50 ms of GPU
time a request without batching, 1 ms of CPU, loads of 200 ms from the disk, models that are asked for alike, $1 an
hour.

Where arithmetic alone does not settle the count (queues near their limit), the case says so; ``python -m
benchmarks.planted --truth`` tries every candidate with many seeds. No expectation was read off the planner.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmesim.results.plan import Limit, Plan

Scenario = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One question with its answer."""

    name: str
    scenario: Scenario
    profile: Mapping[str, Any]
    instance_type: str | None
    """Of the cheapest fleet that meets the objective; None: there is none."""
    instances: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Setting path -> its value as chosen, or (low, high) for a number that may be anywhere in between."""
    binds: frozenset[str] = frozenset()
    """What limits: one of these has to be first among the binding, no other may bind; empty: nothing is said."""
    also: frozenset[str] = frozenset()
    """What has to be among the binding besides."""
    trace: str = ""
    """CSV."""
    mixed_instances: int = 0
    """Of the mixed fleet that beats all on one endpoint; 0: nothing is said."""
    why: str = ""

    def write(self, folder: Path) -> Path:
        """The scenario and what it names as files; the scenario's path."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "unit.yaml").write_text(json.dumps(self.profile), encoding="utf-8")
        (folder / "turns.csv").write_text(self.trace, encoding="utf-8")
        path = folder / f"{self.name}.yaml"
        path.write_text(json.dumps(self.scenario), encoding="utf-8")
        return path

    @property
    def resource(self) -> str:
        """As a table shows it."""
        return " / ".join(sorted(self.binds)) or "-"


Maker = Callable[[], Case]
CASES: dict[str, Maker] = {}


def planted(maker: Maker) -> Maker:
    """Registers a case under its function's name."""
    CASES[maker.__name__] = maker
    return maker


def case(name: str) -> Case:
    """The case of this name, its docstring as the reason."""
    made = CASES[name]()
    return Case(**{**made.__dict__, "name": name, "why": (CASES[name].__doc__ or "").strip()})


# ---- what is wrong with a plan


def wrong_fleet(made: Case, plan: Plan) -> Iterator[str]:
    """How the chosen fleet differs from the known best; nothing: it is that."""
    chosen = plan.chosen
    if chosen is None or made.instance_type is None:
        if (chosen is None) != (made.instance_type is None):
            yield f"{'nothing' if chosen is None else chosen.name} found"
    elif (chosen.instance_type, chosen.instances) != (made.instance_type, made.instances):
        yield f"{chosen.name} found"
    for path, value in made.settings.items():
        if chosen is not None and not _is(chosen.settings[path], value):
            yield f"{path} {chosen.settings[path]}"
    mixed = next((one for one in plan.alternatives if one.kind == "mixed fleet"), None)
    if made.mixed_instances and (mixed is None or mixed.instances != made.mixed_instances):
        yield f"mixed fleet: {mixed.instances if mixed else 'not tried'}"


def wrong_binding(made: Case, plan: Plan) -> Iterator[str]:
    """How what is said to bind differs from what does. Where nothing could be simulated it is said in the words."""
    if made.binds and plan.chosen is None and plan.nearest is None:
        if not any(resource in sentence for resource in made.binds for sentence in plan.sentences):
            yield "no word of what blocks it"
        return
    yield from wrong_limits(made, plan.limits)


def wrong_limits(made: Case, limits: Sequence[Limit]) -> Iterator[str]:
    """The same of limits alone."""
    binding = [limit.resource for limit in limits if limit.binds]
    if not made.binds:
        return
    if not made.binds & set(binding[:1]):
        yield f"{binding[0] if binding else 'nothing'} binds first"
    if missing := made.also - set(binding):
        yield f"{', '.join(sorted(missing))} not among the binding"
    if more := set(binding) - made.binds - made.also:
        yield f"{', '.join(sorted(more))} binds too"


def _is(written: str, value: Any) -> bool:
    """A setting as written is the value, or within the range."""
    if isinstance(value, tuple):
        return bool(value[0] <= float(written) <= value[1])
    return written == value if isinstance(value, str) else bool(json.loads(written) == value)


# ---- the brick


def known(value: Any) -> dict[str, Any]:
    """A number of a profile."""
    return {"value": value, "basis": "rule", "source": "case"}


def profile(*, service_ms: float | Mapping[int, float] = 50, cpu_ms: float = 1, max_batch: int = 1,
            **more: Any) -> dict[str, Any]:
    """The unit model; `service_ms`: by batch size. `more`: plain values of further fields."""
    times = service_ms if isinstance(service_ms, Mapping) else {1: service_ms}
    batches = [{"batch": batch, "infer": f"{ms}ms"} for batch, ms in times.items()]
    return {
        "name": "unit", "model": "unit", "backend": "none", "precision": "fp16", "gpu": "G1", "framework": "none",
        "sources": {"case": "made for this case"},
        "latency": {"basis": "rule", "source": "case", "batches": batches},
        "max_batch_size": known(max_batch), "instance_count": known(1), "preferred_batch_sizes": known([]),
        "max_queue_delay": known("0ms"), "overhead": known("0ms"), "gpu_share": known(1.0),
        "host_cpu": {"per_request": known(f"{cpu_ms}ms"), "per_item": known("0ms")},
        "gpu_bytes": known("1GB"), "framework_base_bytes": known(0), "host_bytes": known("1MB"),
        "artifact_bytes": known("1MB"), "disk_bytes": known("1MB"), "load": {"time": known("200ms")},
        "unload_time": known("0s"), **{name: known(value) for name, value in more.items()}}


def kind(price: float, **changed: Any) -> dict[str, Any]:
    """An instance type: 4 models of 1 GB fit."""
    return {"vcpus": 8, "ram_bytes": "64GB", "gpu": "G1", "gpu_bytes": "4.5GB", "disk_bytes": "1000GB",
            "disk_read_bps": "2GB/s", "network_baseline_bps": "10Gbps", "price_per_hour": price, **changed}


def scenario(*, models: int | Sequence[Mapping[str, Any]], rps: float, objective: Mapping[str, Any],
             types: Mapping[str, Mapping[str, Any]] | None = None, plan: Mapping[str, Any] | None = None,
             endpoint: Mapping[str, Any] | None = None, server: Mapping[str, Any] | None = None,
             storage: Mapping[str, Any] | None = None, workload: Mapping[str, Any] | None = None,
             seconds: float = 300, warmup: float = 60) -> Scenario:
    """The exact server with these models and this traffic; the first type is the one as written."""
    types = types or {"ml.unit": kind(1.0)}
    groups = [{"count": models, "name": "m{i:02}"}] if isinstance(models, int) else models
    return {
        "seed": 0, "duration": f"{seconds}s", "warmup": f"{warmup}s",
        "instance_types": dict(types), "profiles": {"unit": "unit.yaml"},
        "models": [{"profile": "unit", **group} for group in groups],
        "endpoint": {
            "instance_type": next(iter(types)), "instances": 1,
            "server": {"gpu_memory_threshold": "100%", "host_memory_threshold": "100%", "disk_threshold": "100%",
                       "idle_gpu_bytes": 0, "host_base_bytes": 0, "unload_poll": "0ms", "frontend_overhead": "0ms",
                       "load_time_cv": 0, **(server or {})},
            "storage": {"s3_first_byte": "10ms", "extract_rate": "10GB/s", **(storage or {})}, **(endpoint or {})},
        "workload": {"arrivals": {"use": "poisson", "rate_rps": rps}, "popularity": {"use": "uniform"},
                     **(workload or {})},
        "objective": dict(objective),
        "plan": {"instance_types": list(types), "instances": {"min": 1, "max": 8}, "mixed": False, "seeds": 10,
                 **(plan or {})},
        "output": {"interval": "30s", "journal": False, "trace": False, "report": False}}


# ---- one resource

BURSTS = frozenset({"bursts", "GPU time"})
"""Where more GPU time would do as well as fewer requests at once: both bind."""


@planted
def gpu_memory() -> Case:
    """12 models of 1 GB, at most 5 % cold starts. Asked for alike and independently, a fleet that holds k of 12 misses
    1 - k/12 whatever it evicts: 2 instances hold 8, a third of the requests is cold; 3 hold all 12, none is after the
    warm-up. GPU and CPU are idle (4 requests/s), faster loads do not make a miss a hit."""
    return Case("", scenario(models=12, rps=4, objective={"cold_start_ratio": 0.05, "error_rate": 0.01}),
                profile(service_ms=5), "ml.unit", 3, binds=frozenset({"GPU memory"}))


@planted
def gpu_time() -> Case:
    """50 requests/s of 50 ms are 2.5 GPUs. 2 instances are overloaded by a quarter: after 300 s a minute's work waits.
    3 are at 83 %: an M/D/1 there waits 125 ms on average, its 99th percentile is about 13 services, 0.65 s, far
    below 4 s. 12 models on 3 instances are all in memory."""
    return Case("", scenario(models=12, rps=50, objective={"p99_ms": 4000, "error_rate": 0.01}),
                profile(), "ml.unit", 3, binds=frozenset({"GPU time"}))


@planted
def host_cpu() -> Case:
    """50 requests/s with 100 ms of CPU each on 2 vCPUs: 5 vCPUs, so 2 instances are overloaded and 3 are at 83 %. The
    GPU's 1 ms is nothing."""
    return Case("", scenario(models=12, rps=50, objective={"p99_ms": 4000, "error_rate": 0.01},
                             types={"ml.unit": kind(1.0, vcpus=2)}),
                profile(service_ms=1, cpu_ms=100), "ml.unit", 3, binds=frozenset({"host CPU"}))


@planted
def network() -> Case:
    """Misses by design: 80 models, 4 fit an instance, and what is unloaded is deleted. 2 requests/s, each miss brings
    100 MB over 1 Gbit/s: 1.25 a second. One instance: 2 x 76/80 = 1.9 misses/s, overloaded by half; two: 1.8 over
    2.5. With 4 times the memory one would still have 2 x 64/80 = 1.6; disk and loads have no part in it."""
    return Case("", scenario(models=80, rps=2, objective={"p99_ms": 12000, "error_rate": 0.02}, seconds=600,
                             types={"ml.unit": kind(1.0, network_baseline_bps="1Gbps")},
                             server={"keep_on_disk": False}),
                {**profile(service_ms=5), "artifact_bytes": known("100MB"), "disk_bytes": known("100MB")},
                "ml.unit", 2, binds=frozenset({"network"}))


@planted
def loads() -> Case:
    """80 models, 4 fit, all on the disk after the warm-up; one load thread, a second a load. 1.5 requests/s: one
    instance has 1.5 x 76/80 = 1.43 misses/s and can load 1; two have 1.35 for 2. With 4 times the memory one would
    still have 1.5 x 64/80 = 1.2."""
    return Case("", scenario(models=80, rps=1.5, objective={"p99_ms": 15000, "error_rate": 0.02}, seconds=900,
                             warmup=240, server={"load_threads": 1}),
                {**profile(service_ms=5), "load": {"time": known("1s")}}, "ml.unit", 2, binds=frozenset({"loads"}))


@planted
def disk() -> Case:
    """40 models of 1 GB on disk; each has its home by hash; 4 in memory, 30 on the disk of an instance. A load from
    the disk takes 0.2 s, one from S3 20 s (its first byte; a faster network does not help). Asked at most 5 s at the
    99th percentile: less than 1 % may come from S3. One instance misses the disk in a quarter of the requests; with
    two, each is home to about 20 models, and all are on disk after the warm-up."""
    return Case("", scenario(models=40, rps=2, objective={"p99_ms": 5000, "error_rate": 0.02}, seconds=1500,
                             warmup=700, types={"ml.unit": kind(1.0, disk_bytes="30.5GB")},
                             storage={"s3_first_byte": "20s"}, endpoint={"placement": {"use": "hash"}}),
                {**profile(service_ms=5), "disk_bytes": known("1GB")}, "ml.unit", 2, binds=frozenset({"disk"}))


@planted
def bursts() -> Case:
    """6 requests/s of 50 ms, and every 100 s for 20 s eight times as many: 48. On average 14.4/s, 72 % of one
    instance. During a burst 2 instances (40/s) fall behind by 8 requests a second, 160 at its end, 4 s of work; 3
    (60/s) do not: at 80 % waits are some 0.1 s. Asked for 2 s, with more than half of all requests in bursts. A faster
    GPU does too."""
    surges = [{"at": f"{at}s", "for": "20s", "factor": 8} for at in (80, 180, 280)]
    return Case("", scenario(models=12, rps=6, objective={"p99_ms": 2000, "error_rate": 0.01}, seconds=330,
                             workload={"surges": surges}), profile(), "ml.unit", 3,
                binds=BURSTS, also=BURSTS)


@planted
def busiest_time() -> Case:
    """4 hours at 5 requests/s of 50 ms, a quarter of a GPU, but from 2:00 to 2:20 at 50: 2.5 GPUs. 2 instances fall
    behind there by half a GPU for 20 minutes; with nearly half of all requests in this time, their 99th percentile is
    minutes. 3 are at 83 %, as in gpu_time. Spread evenly it would be 8.8 requests/s, 44 % of one GPU. The run is long
    enough for the busiest time to be looked at alone first."""
    shape = [["0h", 0.1], ["2h", 0.1], ["2.003h", 1], ["2.333h", 1], ["2.336h", 0.1], ["4h", 0.1]]
    return Case("", scenario(models=12, rps=50, objective={"p99_ms": 4000, "error_rate": 0.01}, seconds=14400,
                             warmup=600, workload={"arrivals": {"use": "profile", "rate_rps": 50, "shape": shape}}),
                profile(), "ml.unit", 3, binds=BURSTS, also=BURSTS)


# ---- several


@planted
def two_resources() -> Case:
    """8 models of 1 GB and 30 requests/s of 50 ms: one instance has room for 4 and GPU time for 20/s. With 4 times the
    memory it still lacks GPU time, with 4 times the GPU it still misses half of the models: both, and neither alone.
    Two instances have room for 8 and are at 75 %."""
    return Case("", scenario(models=8, rps=30,
                             objective={"p99_ms": 3000, "cold_start_ratio": 0.05, "error_rate": 0.01}),
                profile(), "ml.unit", 2, binds=frozenset({"GPU memory and GPU time"}))


def _memory_types(price: float) -> Case:
    types = {"ml.small": kind(1.0), "ml.big": kind(price, gpu_bytes="12.5GB")}
    wins = "ml.big" if 2 * price < 6 else "ml.small"
    return Case("", scenario(models=24, rps=4, types=types, objective={"cold_start_ratio": 0.05, "error_rate": 0.01}),
                profile(service_ms=5), wins, 2 if wins == "ml.big" else 6, binds=frozenset({"GPU memory"}))


@planted
def big_memory_wins() -> Case:
    """24 models, all to be resident: six small instances of 4 for $6, or two of 12 for $5."""
    return _memory_types(2.5)


@planted
def big_memory_loses() -> Case:
    """The same, but the two of 12 cost $6.60."""
    return _memory_types(3.3)


def _cpu_types(cpu_ms: float, service_ms: float, wins: str, instances: int, resource: str) -> Case:
    types = {"ml.thin": kind(1.0, vcpus=1), "ml.wide": kind(1.5, vcpus=4)}
    return Case("", scenario(models=4, rps=24, types=types, objective={"p99_ms": 4000, "error_rate": 0.01},
                             endpoint={"routing": {"use": "least_outstanding", "spill_outstanding": 2}}),
                profile(service_ms=service_ms, cpu_ms=cpu_ms), wins, instances, binds=frozenset({resource}))


@planted
def few_vcpus_lose() -> Case:
    """24 requests/s with 100 ms of CPU are 2.4 vCPUs: three thin instances for $3, or one wide (60 %) for $1.50. What
    binds is told by the wide one with more traffic: its vCPUs, for the GPU is at 2 %."""
    return _cpu_types(100, 1, "ml.wide", 1, "host CPU")


@planted
def few_vcpus_win() -> Case:
    """24 requests/s of 50 ms are 1.2 GPUs, whatever stands beside them: two thin ones for $2, two wide ones for $3."""
    return _cpu_types(1, 50, "ml.thin", 2, "GPU time")


@planted
def policy() -> Case:
    """In turn: each of two hot models twice, then four of 40 cold ones; an instance holds 4. With LRU a hot model has
    always gone when its turn comes again (5 others came between): half of its requests are cold. With LFU it has two
    uses when each cold one has one: it stays. Asked: at most 10 % cold for the hot ones: one instance with LFU."""
    turns = [name for k in range(90) for name in (
        "hot-0", "hot-0", "hot-1", "hot-1", *(f"cold-{(4 * k + j) % 40:02}" for j in range(4)))]
    trace = "timestamp_s,model\n" + "".join(f"{at},{name}\n" for at, name in enumerate(turns))
    made = scenario(models=[{"name": "hot-{i}", "count": 2}, {"name": "cold-{i:02}", "count": 40}], rps=1, seconds=720,
                    objective={"error_rate": 0.01, "models": {"hot-*": {"cold_start_ratio": 0.1, "at_least": 50}}},
                    warmup=120, plan={"choose": {"endpoint.eviction.gpu": ["lru", "lfu"]}})
    made["workload"] = {"trace": "turns.csv", "trace_options": {"map": "name"}}
    return Case("", made, profile(service_ms=5), "ml.unit", 1, {"endpoint.eviction.gpu": "lfu"}, trace=trace)


@planted
def batching() -> Case:
    """40 requests/s for one model: 60 ms alone, 100 ms for a batch of 8. Without batches 2.4 GPUs, three instances;
    with, one does 80 requests/s."""
    return Case("", scenario(models=1, rps=40, objective={"p99_ms": 2000, "error_rate": 0.01},
                             endpoint={"routing": {"use": "least_outstanding", "spill_outstanding": 2}},
                             plan={"choose": {"models.0.max_batch_size": [1, 8]}}),
                profile(service_ms={1: 60, 8: 100}, max_batch=8), "ml.unit", 1, {"models.0.max_batch_size": "8"})


@planted
def queue_limit() -> Case:
    """One model, 18 requests/s of 50 ms: an M/D/1/K queue at 90 %, where K requests at most are let in. Whoever is let
    in takes at most K services: up to K = 15 that is 0.75 s, the limit. The shorter the queue, the more are refused: at
    most 2 % may be. By brute force one instance does with K from 10 (1.7 % refused) to 16 (0.749 s); outside of that it
    takes two. As written, with 50, the 99th percentile is 1.1 s."""
    return Case("", scenario(models=1, rps=18, objective={"p99_ms": 750, "error_rate": 0.02}, seconds=900,
                             endpoint={"admission": {"use": "queue_limit", "per_copy": 50},
                                       "routing": {"use": "least_outstanding", "spill_outstanding": 2}},
                             plan={"tune": {"endpoint.admission.per_copy": {"low": 1, "high": 60, "step": 1}},
                                   "trials": 16}),
                profile(), "ml.unit", 1, {"endpoint.admission.per_copy": (10.0, 16.0)})


@planted
def autoscaling() -> Case:
    """5 requests/s of 50 ms, but 60 from 400 s to 700 s of 1200: 3 GPUs then, a quarter of one else. A fixed fleet
    needs 4 all the time ($4/h; 3 are at 100 %); a schedule that has 4 from 360 s to 720 s and one otherwise costs
    1 + 3 x 360/1140 = about $2/h, and 99 % of the requests see the same."""
    plan_ = [{"use": "scheduled", "actions": [{"at": "360s", "min": 4, "max": 4}, {"at": "720s", "min": 1, "max": 1}]}]
    shape = [["0s", 0.25], ["400s", 0.25], ["401s", 3.0], ["700s", 3.0], ["701s", 0.25], ["1200s", 0.25]]
    return Case("", scenario(models=12, rps=20, objective={"p99_ms": 4000, "error_rate": 0.01}, seconds=1200,
                             endpoint={"provisioning": {"time": "10s"},
                                       "routing": {"use": "least_outstanding", "spill_outstanding": 2}},
                             workload={"arrivals": {"use": "profile", "rate_rps": 20, "shape": shape}},
                             plan={"choose": {"endpoint.autoscaling": [[], plan_]}}),
                profile(), "ml.unit", 1, {"endpoint.autoscaling": plan_})


@planted
def survive() -> Case:
    """As gpu_time, which takes 3, but the objective has to hold while an instance is lost and no new one comes: 3 left
    of 4. (Its models are on the disks of the others or come within a second.)"""
    return Case("", scenario(models=12, rps=50, objective={"p99_ms": 4000, "error_rate": 0.02}, seconds=600,
                             endpoint={"provisioning": {"time": "1h"}},
                             plan={"survive": "instance", "survival": "120s"}),
                profile(), "ml.unit", 4, binds=frozenset({"GPU time"}))


@planted
def one_model_decides() -> Case:
    """4 models get 95 % of the requests, 8 gold ones the rest; room for 6. Over all requests few are cold with one
    instance (at most the 5 % for gold, and what they push out), 10 % is allowed. But of the gold models' own requests
    at most 10 % may be cold, and they share 2 places: two instances hold all 12."""
    groups = [{"name": "plain-{i}", "count": 4, "weight": 38}, {"name": "gold-{i}", "count": 8, "weight": 1}]
    return Case("", scenario(models=groups, rps=20, seconds=900,
                             objective={"cold_start_ratio": 0.1, "error_rate": 0.01,
                                        "models": {"gold-*": {"cold_start_ratio": 0.1, "at_least": 20}}},
                             types={"ml.unit": kind(1.0, gpu_bytes="6.5GB")}),
                profile(service_ms=5), "ml.unit", 2, binds=frozenset({"GPU memory"}))


@planted
def mixed_fleet() -> Case:
    """One hot model, 15 requests/s of 50 ms: 75 % of a GPU, 1 s is asked for. A tail of 60 models, one request a
    second, nearly all cold (4 fit): a load of a second each, during which inference there takes 6 times as long. On an
    endpoint of its own the hot model takes one instance, and the tail another: 2. Together: wherever the tail loads,
    the hot model is at 1/6 of its speed. By brute force its 99th percentile is 1.8 s on 2 instances, 0.5 s on 3."""
    return Case("", _hot_and_tail(12), {**profile(), "load": {"time": known("1s")}}, "ml.unit", 3, mixed_instances=2)


@planted
def only_mixed() -> Case:
    """The same with at most 2 instances to an endpoint: no endpoint does it all, two of one instance each do."""
    return Case("", _hot_and_tail(2), {**profile(), "load": {"time": known("1s")}}, None, mixed_instances=2)


def _hot_and_tail(most: int) -> Scenario:
    groups = [{"name": "hot", "weight": 900}, {"name": "tail-{i:02}", "count": 60}]
    return scenario(models=groups, rps=16, seconds=600, warmup=120,
                    objective={"error_rate": 0.01, "models": {"hot": {"p99_ms": 1000},
                                                              "tail-*": {"p99_ms": 20000, "at_least": 5}}},
                    server={"load_slowdown": 6.0},
                    endpoint={"routing": {"use": "least_outstanding", "spill_outstanding": 2}},
                    plan={"mixed": True, "instances": {"min": 1, "max": most}})


# ---- what cannot be


@planted
def too_quick() -> Case:
    """50 ms of GPU and 1 ms of CPU cannot be over in 30 ms, with any fleet. The nearest: above 51 ms."""
    return Case("", scenario(models=4, rps=2, objective={"p99_ms": 30, "error_rate": 0.01}), profile(), None,
                binds=frozenset({"GPU time"}))


@planted
def too_large() -> Case:
    """Models of 6 GB on two types with 4.5 GB; the one as written, with 8.5 GB, is not to be chosen. No number of
    instances helps, and there is no nearest objective: nothing can be answered."""
    types = {"ml.big": kind(5.0, gpu_bytes="8.5GB"), "ml.unit": kind(1.0), "ml.wide": kind(1.5, vcpus=16)}
    return Case("", scenario(models=4, rps=2, types=types, objective={"p99_ms": 3000, "error_rate": 0.01},
                             plan={"instance_types": ["ml.unit", "ml.wide"]}),
                {**profile(), "gpu_bytes": known("6GB")}, None, binds=frozenset({"GPU memory"}))


@planted
def too_small_a_space() -> Case:
    """As gpu_memory, which takes 3 instances, with at most 2: the nearest has 1 - 8/12 = 33 % cold starts."""
    return Case("", scenario(models=12, rps=4, objective={"cold_start_ratio": 0.05, "error_rate": 0.01},
                             plan={"instances": {"min": 1, "max": 2}}),
                profile(service_ms=5), None, binds=frozenset({"GPU memory"}))
