"""A workload made larger, begun later or narrowed to some models: what is left is what it is in the whole."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmesim.core.distribution import Distribution
from mmesim.errors import InputError
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.workload_spec import duration_s
from mmesim.units import NS_PER_S, ns
from mmesim.workload.build import build_arrivals, build_closed_loop
from mmesim.workload.combine import in_time_order
from mmesim.workload.scale import scaled
from mmesim.workload.stats import expected_rates
from mmesim.workload.trace import id_map
from mmesim.workload.types import (
    Arrivals,
    ArrivalSpec,
    ClientsSpec,
    PopularitySpec,
    StageSpec,
    SurgeSpec,
    TraceSpec,
    WorkloadModel,
    WorkloadSpec,
)

HOUR_NS = 3600 * NS_PER_S
LOGNORMAL = Distribution("lognormal", cv=0.5)
MODELS = [WorkloadModel(f"bert-{i}", available_from_ns=ns(900) if i < 3 else 0) for i in range(10)] + [
    WorkloadModel(f"resnet-{i}", service_law=LOGNORMAL, available_until_ns=ns(3000) if i < 3 else None)
    for i in range(10)]
SURGES = (SurgeSpec(600.0, 1800.0, 4.0, "resnet-*"), SurgeSpec(2700.0, 60.0, 20.0, "bert-4"))
DRIFTING = PopularitySpec("drifting", s=1.1, every_s=500.0, swap=0.2)
ROWS = 20_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of an hour and twenty minutes, as requests, as counts per model and as totals."""
    folder, rng = tmp_path_factory.mktemp("traces"), np.random.default_rng(5)
    at_s, ids = np.sort(rng.random(ROWS)) * 4790, rng.zipf(1.5, ROWS) % 40
    rows = [f"{t:.4f},id-{i},{1 + i % 2}\n" for t, i in zip(at_s, ids, strict=True)]
    (folder / "requests.csv").write_text("timestamp_s,model,items\n" + "".join(rows))
    counts = rng.poisson(8, (80, 40))
    (folder / "counts.csv").write_text("minute,model,count\n" + "".join(
        f"{minute},id-{i},{counts[minute, i]}\n" for minute in range(80) for i in range(40)))
    (folder / "totals.csv").write_text("minute,count\n" + "".join(
        f"{minute},{row.sum()}\n" for minute, row in enumerate(counts)))
    return folder


def workload(kind: str, files: Path) -> WorkloadSpec:
    """One of each kind, with all that can move when a part is cut off."""
    generated = {
        "poisson": ArrivalSpec("poisson", 20.0), "gamma": ArrivalSpec("gamma", 20.0, cv=3.0),
        "mmpp": ArrivalSpec("mmpp", rates_rps=(5.0, 60.0), mean_sojourn_s=(60.0, 20.0)),
        "profile": ArrivalSpec("profile", 20.0, shape=((0.0, 0.4), (600.0, 1.6)), period_s=1200.0, cv=2.0),
        "diurnal": ArrivalSpec("diurnal", 20.0, peak_to_trough=3.0, peak_at_s=1800.0),
        "totals": ArrivalSpec("minute_counts", file=files / "totals.csv", expand="even")}
    if kind in generated:
        return WorkloadSpec(generated[kind], SURGES, DRIFTING, session_repeat=0.3, session_reach=4.0)
    trace = {"requests": TraceSpec(files / "requests.csv", start_s=100.0, thin=0.7, repeat=2),
             "counts": TraceSpec(files / "counts.csv", expand="poisson", thin=0.9, repeat=2)}[kind]
    return WorkloadSpec(trace=trace)


KINDS = ("poisson", "gamma", "mmpp", "profile", "diurnal", "totals", "requests", "counts")


def requests(spec: WorkloadSpec, length_ns: int = HOUR_NS, seed: int = 1) -> Arrivals:
    source, chunks = build_arrivals(spec, MODELS, seed, length_ns), []
    while (chunk := source.next_chunk()) is not None:
        chunks.append(chunk)
    return in_time_order(chunks)


def assert_equal(one: Arrivals, other: Arrivals) -> None:
    for name in Arrivals.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


# ---- start


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_the_start_is_as_in_the_whole(kind: str, files: Path) -> None:
    spec, start_s = workload(kind, files), 1234.5
    whole = requests(spec)
    left = requests(replace(spec, start_s=start_s), HOUR_NS - ns(start_s))
    later = whole[whole.t_ns >= ns(start_s)]
    assert 0 < len(later) < len(whole)
    assert_equal(left, replace(later, t_ns=later.t_ns - ns(start_s)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_that_ends_early_is_the_whole_ones_too(kind: str, files: Path) -> None:
    piece = requests(replace(workload(kind, files), start_s=700.0), ns(333.25))
    longer = requests(replace(workload(kind, files), start_s=700.0), ns(2000))
    assert_equal(piece, longer[longer.t_ns < ns(333.25)])


def test_a_trace_is_mapped_by_the_whole_of_it(files: Path) -> None:
    spec = WorkloadSpec(trace=TraceSpec(files / "requests.csv"), start_s=3000.0)
    rows = np.genfromtxt(files / "requests.csv", delimiter=",", skip_header=1, dtype=None, encoding="utf-8")
    ids = id_map(spec.trace, MODELS)
    assert requests(spec, 2 * HOUR_NS).model.tolist() == [ids[name] for at_s, name, _ in rows if at_s >= 3000.0]


SCENARIO = """\
endpoint: {instance_type: ml.g4dn.xlarge, instances: {initial: 1}}
models:
  - {profile: resnet50-pytorch-t4, name: "early-{i}", count: 2, available_until: 10m}
  - {profile: resnet50-pytorch-t4, name: "late-{i}", count: 2, available_from: 30m}
workload:
  %s
"""


def loaded(tmp_path: Path, lines: str, *changes: str):
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO % lines.replace("\n", "\n  "))
    return load_scenario(str(file), list(changes))


def test_a_trace_lasts_from_the_start_to_its_end(tmp_path: Path, files: Path) -> None:
    lines = f"trace: {files / 'requests.csv'}\ntrace_options: {{start: 10m}}"
    whole = duration_s(loaded(tmp_path, lines))
    assert duration_s(loaded(tmp_path, lines, "workload.start=20m")) == whole - 1200
    assert duration_s(loaded(tmp_path, lines, "workload.start=20m", "duration=5m")) == 300
    with pytest.raises(InputError, match="nothing of the trace is left after 7200 s"):
        loaded(tmp_path, lines, "workload.start=2h", "duration=5m")


def test_models_come_and_go_by_the_workloads_time(tmp_path: Path) -> None:
    built = build(loaded(tmp_path, "arrivals: {use: poisson, rate_rps: 5}", "workload.start=20m", "duration=20m"))
    early, _, late, _ = built.models
    assert (late.available_from_ns, early.available_from_ns) == (ns(600), early.available_until_ns)
    chunk = built.arrivals.next_chunk()
    assert set(chunk.model) == {2, 3}
    assert chunk.t_ns.min() > ns(600)


def test_a_late_start_is_cheap() -> None:
    """Fourteen hours at 200 rps; processor time, for other processes may take the wall's."""
    spec = WorkloadSpec(ArrivalSpec("diurnal", 200.0, peak_to_trough=3.0), start_s=14 * 3600.0,
                        popularity=PopularitySpec("zipf", 1.1))
    begun = time.process_time()
    assert len(requests(spec, ns(60))) > 0
    assert time.process_time() - begun < 4.0


# ---- only


@pytest.mark.parametrize("kind", KINDS)
def test_two_endpoints_get_what_one_would(kind: str, files: Path) -> None:
    spec = replace(workload(kind, files), start_s=300.0)
    parts = [requests(replace(spec, only=patterns)) for patterns in (("bert-*",), ("resnet-[0-4]", "resnet-[5-9]"))]
    assert all(len(part) > 0 for part in parts)
    assert {name.split("-")[0] for name in np.array([model.name for model in MODELS])[parts[0].model]} == {"bert"}
    whole, together = requests(spec), in_time_order(parts)
    for arrivals in (whole, together):  # at one instant the parts do not know each other's order
        order = np.lexsort((arrivals.work_q16, arrivals.model, arrivals.t_ns))
        arrivals.model[:], arrivals.items[:], arrivals.work_q16[:] = (
            arrivals.model[order], arrivals.items[order], arrivals.work_q16[order])
    assert_equal(together, whole)


def test_a_pattern_without_a_model_is_told_with_alternatives(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, "arrivals: {use: poisson, rate_rps: 5}", "workload.only=[early-*, lat-0]")
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == ("workload.only.1", "no model matches 'lat-0'")
    assert "late-0" in problem.hint


# ---- scale


@pytest.mark.parametrize("kind", [*KINDS, "clients"])
@pytest.mark.parametrize("factor", [0.37, 2.5])
def test_so_many_times_the_traffic(kind: str, factor: float, files: Path) -> None:
    """Seed by seed, for both have the same popularity, states and counts; the spread of the rest tells the error."""
    if kind == "clients":
        clients = ClientsSpec(stages=(StageSpec(60, 40, 4.0), StageSpec(120, 1, 8.0), StageSpec(130, 0, 8.0)))
        stages = scaled(WorkloadSpec(clients=clients), factor).clients.stages
        assert [stage.users for stage in stages] == ([15, 1, 0] if factor < 1 else [100, 2, 0])
        assert stages[0].users / stages[0].spawn_rate == pytest.approx(10, rel=0.02)
        return
    counts = np.array([[len(requests(each, seed=seed)) for each in (workload(kind, files),
                                                                      scaled(workload(kind, files), factor))]
                       for seed in range(6)])
    beyond, once = counts[:, 1] - factor * counts[:, 0], factor * counts[:, 0].mean()
    error = beyond.std(ddof=1) / np.sqrt(len(counts))
    assert abs(beyond.mean()) < 5 * error + 1
    assert 5 * error < 0.1 * once


def test_counts_are_rounded_without_bias(tmp_path: Path) -> None:
    (tmp_path / "ones.csv").write_text("minute,count\n" + "".join(f"{minute},1\n" for minute in range(4000)))
    spec = WorkloadSpec(ArrivalSpec("minute_counts", file=tmp_path / "ones.csv"))
    few, more = (requests(scaled(spec, factor), ns(240_000)) for factor in (0.3, 2.3))
    assert len(few) == pytest.approx(1200, abs=4 * np.sqrt(4000 * 0.21))
    assert np.unique(np.bincount(more.t_ns // ns(60))).tolist() == [2, 3]
    assert set(few.t_ns // ns(60)) <= set(np.flatnonzero(np.bincount(more.t_ns // ns(60)) == 3))  # the same chances


def test_a_smaller_part_of_a_trace_is_a_part_of_the_larger(files: Path) -> None:
    spec = WorkloadSpec(trace=TraceSpec(files / "requests.csv"))
    few, more = (requests(scaled(spec, factor)) for factor in (1.2, 1.7))
    assert 1 < len(more) / len(few) < 1.6
    assert set(few.t_ns.tolist()) <= set(more.t_ns.tolist())


# ---- what is expected of it


@pytest.mark.parametrize("kind", KINDS)
def test_expected_rates_are_those_of_the_part(kind: str, files: Path) -> None:
    """Each model's requests over seeds, within five standard errors (Poisson, and the spread that bursts bring)."""
    spec = scaled(replace(workload(kind, files), start_s=800.0, only=("bert-*", "resnet-1")), 1.5)
    length_ns, seeds = ns(1500), range(16)
    counts = np.array([np.bincount(requests(spec, length_ns, seed).model, minlength=len(MODELS)) for seed in seeds])
    expected = np.mean([expected_rates(spec, MODELS, seed, length_ns) for seed in seeds], axis=0) * 1500
    error = np.sqrt(counts.var(axis=0) + expected) / np.sqrt(len(seeds))
    assert expected[11] > 0
    assert not expected[12:].any()
    assert not expected[10]
    assert np.all(np.abs(counts.mean(axis=0) - expected) <= 5 * error)


@pytest.mark.parametrize("part", [{"start_s": 10.0}, {"only": ("bert-*",)}])
def test_a_closed_loop_cannot_be_cut(part: dict[str, object]) -> None:
    with pytest.raises(InputError, match="closed-loop clients cannot be cut"):
        build_closed_loop(WorkloadSpec(clients=ClientsSpec(users=3), **part), MODELS, 1)


def test_overload_is_judged_with_the_scale(tmp_path: Path) -> None:
    lines = "arrivals: {use: poisson, rate_rps: 40}"
    loaded(tmp_path, lines)
    with pytest.raises(InputError, match="requests/s need"):
        loaded(tmp_path, lines, "workload.scale=1000")
