"""Traces: every request arrives once, at its time and its model; what is wrong is said with file, line and value."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmesim.core.distribution import Distribution
from mmesim.errors import InputError
from mmesim.units import NS_PER_S, ns
from mmesim.workload.build import build_arrivals
from mmesim.workload.combine import in_time_order, merged
from mmesim.workload.stats import expected_rates
from mmesim.workload.trace import id_map, trace_end_s, trace_facts
from mmesim.workload.types import WORK_ONE, Arrivals, ArrivalSpec, TraceSpec, WorkloadModel, WorkloadSpec

MODELS = [WorkloadModel(name) for name in ("alpha", "beta", "gamma")]
DAY_NS = 86_400 * NS_PER_S
REQUESTS = "timestamp_s,model\n0.5,beta\n0.5,alpha\n2.25,beta\n70,gamma\n70.001,beta\n"


def trace(tmp_path: Path, text: str, name: str = "trace.csv") -> Path:
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def played(spec: TraceSpec, models: list[WorkloadModel] = MODELS, duration_ns: int = DAY_NS, seed: int = 1,
           **options: object) -> Arrivals:
    source = build_arrivals(WorkloadSpec(trace=spec, **options), models, seed, duration_ns)  # type: ignore[arg-type]
    chunks = []
    while (chunk := source.next_chunk()) is not None:
        chunks.append(chunk)
    return in_time_order(chunks)


def refusal(text: str, tmp_path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        played(TraceSpec(trace(tmp_path, text), **options))  # type: ignore[arg-type]
    return str(caught.value)


# ---- requests


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz", "trace.parquet"])
def test_a_request_trace_is_played_as_it_is(tmp_path: Path, name: str) -> None:
    path = trace(tmp_path, REQUESTS, name)
    if name.endswith("parquet"):
        import pyarrow as pa
        from pyarrow import parquet
        parquet.write_table(pa.table({"model": ["beta", "alpha", "beta", "gamma", "beta"],
                                      "timestamp_s": [0.5, 0.5, 2.25, 70, 70.001]}), path)
    requests = played(TraceSpec(path, map="name"), items=4)
    assert requests.t_ns.tolist() == [500_000_000, 500_000_000, 2_250_000_000, 70_000_000_000, 70_001_000_000]
    assert requests.model.tolist() == [1, 0, 1, 2, 1]
    assert requests.items.tolist() == [4] * 5 and requests.work_q16.tolist() == [WORK_ONE] * 5
    assert trace_end_s(TraceSpec(path)) == 71


def test_items_and_work_of_the_trace_come_before_the_scenarios(tmp_path: Path) -> None:
    path = trace(tmp_path, "timestamp_s,work,model,items,status\n1,0.5,alpha,2,OK\n2,3,beta,1,OK\n")
    exponential = [replace(model, service_law=Distribution("exponential")) for model in MODELS]
    requests = played(TraceSpec(path), exponential, items=9)
    assert requests.items.tolist() == [2, 1] and requests.work_q16.tolist() == [WORK_ONE // 2, 3 * WORK_ONE]


def test_work_is_drawn_where_the_trace_has_none(tmp_path: Path) -> None:
    exponential = [replace(model, service_law=Distribution("exponential")) for model in MODELS]
    work = played(TraceSpec(trace(tmp_path, REQUESTS)), exponential).work_q16
    assert len(set(work.tolist())) == 5 and work.min() >= 1


def test_ids_become_models(tmp_path: Path) -> None:
    path = trace(tmp_path, "timestamp_s,model\n" + "".join(f"{t},{name}\n" for t, name in enumerate("dabbcccd")))
    spec = TraceSpec(path)
    assert list(trace_facts(path).counts.items()) == [("c", 3), ("b", 2), ("d", 2), ("a", 1)]
    assert id_map(spec, MODELS) == {"c": 0, "b": 1, "d": 2, "a": 0}
    hashed = id_map(replace(spec, map="hash"), MODELS)
    assert hashed == {"c": 2, "b": 1, "d": 2, "a": 1}  # sha256sum: first 8 bytes, little-endian, mod 3
    assert id_map(replace(spec, map="hash", start_s=3.0), MODELS) == hashed


def test_names_must_be_models(tmp_path: Path) -> None:
    text = refusal("timestamp_s,model\n0,alpa\n1,beta\n2,delta\n", tmp_path, map="name")
    assert "2 ids of the trace are not models of this scenario: 'alpa', 'delta'" in text
    assert "did you mean 'alpha'?" in text and "round_robin" in text


def test_a_slice_begins_at_zero_and_the_run_may_be_shorter(tmp_path: Path) -> None:
    path = trace(tmp_path, REQUESTS)
    spec = TraceSpec(path, map="name", start_s=1.0, end_s=70.001)
    assert played(spec).t_ns.tolist() == [1_250_000_000, 69_000_000_000]
    assert trace_end_s(spec) == pytest.approx(69.001)
    assert played(spec, duration_ns=ns(2)).t_ns.tolist() == [1_250_000_000]
    with pytest.raises(InputError, match="no request between 100 s and 71 s"):
        played(replace(spec, start_s=100.0, end_s=None))


def test_copies_are_shifted_and_wrapped(tmp_path: Path) -> None:
    """Slice of 71 s, two copies: the second 35.5 s later, what falls behind the end at the beginning."""
    requests = played(TraceSpec(trace(tmp_path, REQUESTS), map="name", repeat=2))
    assert (requests.t_ns / 1e9).tolist() == [0.5, 0.5, 2.25, 34.5, 34.501, 36.0, 36.0, 37.75, 70.0, 70.001]
    assert requests.model.tolist() == [1, 0, 1, 2, 1, 1, 0, 1, 2, 1]


def test_thinning_keeps_a_share_and_moves_nothing(tmp_path: Path) -> None:
    n = 40_000
    path = trace(tmp_path, "timestamp_s,model\n" + "".join(f"{t},alpha\n" for t in range(n)))
    whole, thin = played(TraceSpec(path)), played(TraceSpec(path, thin=0.3))
    assert set(thin.t_ns.tolist()) < set(whole.t_ns.tolist())
    assert len(thin) == pytest.approx(0.3 * n, abs=4 * (n * 0.3 * 0.7) ** 0.5)
    expected = expected_rates(WorkloadSpec(trace=TraceSpec(path, thin=0.3)), MODELS, 1, DAY_NS)
    assert expected.tolist() == pytest.approx([0.3, 0, 0])


@pytest.mark.parametrize(("text", "told"), [
    ("timestamp_s,model\n1,alpha\n0.5,beta\n", ["trace.csv:3", "goes back from 1 to 0.5", "sort the trace"]),
    ("timestamp_s,model\n1,alpha\nnoon,beta\n", ["trace.csv:3", "timestamp_s is 'noon'", "a number of at least 0"]),
    ("timestamp_s,model\n-1,alpha\n", ["trace.csv:2", "timestamp_s is '-1'"]),
    ("timestamp_s,model\nnan,alpha\n", ["trace.csv:2", "timestamp_s is 'nan'"]),
    ("timestamp_s,model\n1,\n", ["trace.csv:2", "model is empty"]),
    ("timestamp_s,model,items\n1,alpha,0\n", ["trace.csv:2", "items is '0'", "a whole number of at least 1"]),
    ("timestamp_s,model,items\n1,alpha,1.5\n", ["trace.csv:2", "items is '1.5'"]),
    ("timestamp_s,model,work\n1,alpha,-2\n", ["trace.csv:2", "work is '-2'"]),
    ("minute,model,count\n0,alpha,3\n1,alpha,x\n", ["trace.csv:3", "count is 'x'"]),
    ("time,model\n1,alpha\n", ["the columns are time, model", "timestamp_s, model or minute, model, count"]),
    ("", ["the file is empty"]),
    ("timestamp_s,model\n", ["the trace has no rows"]),
    ("timestamp_s,model\n1,alpha,more\n", ["this cannot be read"]),
])
def test_what_is_wrong_is_said_with_line_and_value(tmp_path: Path, text: str, told: list[str]) -> None:
    message = refusal(text, tmp_path)
    for part in told:
        assert part in message


def test_a_line_far_down_is_found(tmp_path: Path) -> None:
    rows = [f"{t},alpha" for t in range(600_000)]
    rows[500_000] = "7,alpha"
    assert "trace.csv:500002" in refusal("timestamp_s,model\n" + "\n".join(rows), tmp_path)


def test_a_missing_file_and_a_file_that_is_none(tmp_path: Path) -> None:
    trace(tmp_path, REQUESTS)
    with pytest.raises(InputError, match=r"no such file\n.*did you mean 'trace.csv'"):
        trace_facts(tmp_path / "trase.csv")
    with pytest.raises(InputError, match="not a Parquet file"):
        trace_facts(trace(tmp_path, "PAR?", "x.parquet"))
    with pytest.raises(InputError, match="cannot be read as CSV"):
        path = tmp_path / "y.csv.gz"
        path.write_text("not gzip")
        trace_facts(path)


def test_a_wrong_cell_of_a_parquet_file_is_found(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"timestamp_s": [1.0, None, 3.0], "model": ["alpha", "beta", "beta"]}), path)
    with pytest.raises(InputError, match=r"x\.parquet: workload\.trace: row 1: timestamp_s is None"):
        trace_facts(path)


def test_the_kind_can_be_forced(tmp_path: Path) -> None:
    path = trace(tmp_path, REQUESTS)
    with pytest.raises(InputError, match="has the columns minute, model, count"):
        trace_facts(path, "minute_counts")


# ---- counts

COUNTS = "minute,model,count\n3,beta,5\n0,alpha,40\n0,beta,2\n"


@pytest.mark.parametrize("rule", ["uniform", "even"])
def test_counts_are_kept_to_the_request(tmp_path: Path, rule: str) -> None:
    spec = TraceSpec(trace(tmp_path, COUNTS), map="name", expand=rule)
    requests = played(spec, items=2)
    assert (requests.items == 2).all()
    assert np.bincount(requests.t_ns // (60 * NS_PER_S)).tolist() == [42, 0, 0, 5]
    assert requests.model[requests.t_ns >= ns(60)].tolist() == [1] * 5
    assert np.bincount(requests.model).tolist() == [40, 7]
    assert trace_end_s(spec) == 240


def test_even_means_equal_gaps(tmp_path: Path) -> None:
    requests = played(TraceSpec(trace(tmp_path, COUNTS), map="name", expand="even"))
    gaps = np.diff(requests.t_ns[requests.model == 0])
    assert np.abs(gaps - 1.5e9).max() <= 1


def test_poisson_counts_vary_about_the_counts(tmp_path: Path) -> None:
    path = trace(tmp_path, "minute,model,count\n" + "".join(f"{m},alpha,9\n" for m in range(2000)))
    requests = played(TraceSpec(path, expand="poisson"), duration_ns=2 * DAY_NS)
    counts = np.bincount(requests.t_ns // (60 * NS_PER_S), minlength=2000)
    assert len(requests) == pytest.approx(18_000, abs=4 * 18_000**0.5)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * (2 / 2000) ** 0.5)


def test_a_minute_is_expanded_alike_whatever_is_around_it(tmp_path: Path) -> None:
    path = trace(tmp_path, COUNTS)
    late = played(TraceSpec(path, map="name", start_s=180.0))
    whole = played(TraceSpec(path, map="name"))
    assert np.array_equal(late.t_ns + ns(180), whole.t_ns[-5:])
    half = played(TraceSpec(path, map="name", start_s=30.0))
    assert np.array_equal(half.t_ns + ns(30), whole.t_ns[whole.t_ns >= ns(30)])


def test_arrivals_by_minute_counts_are_checked_too(tmp_path: Path) -> None:
    spec = WorkloadSpec(ArrivalSpec("minute_counts", file=trace(tmp_path, "minute,count\n0,-1\n")))
    with pytest.raises(InputError, match=r"workload\.arrivals\.file: count is '-1'"):
        build_arrivals(spec, MODELS, 1, DAY_NS).next_chunk()


# ---- merging


def test_merging_is_stable_and_complete() -> None:
    def chunks(model: int, *times: list[int]):  # type: ignore[no-untyped-def]
        for t in times:
            t_ns = np.array(t, dtype=np.int64)
            n = len(t_ns)
            yield Arrivals(t_ns, np.full(n, model, np.int32), np.ones(n, np.int32), np.arange(n))

    whole = in_time_order(list(merged([chunks(0, [1, 5, 5], [5, 5], [5, 9]), chunks(1, [0, 5], [5, 20]), chunks(2)])))
    assert list(zip(whole.t_ns.tolist(), whole.model.tolist(), strict=True)) == [
        (0, 1), (1, 0), *[(5, 0)] * 5, *[(5, 1)] * 2, (9, 0), (20, 1)]


# ---- real traces


@pytest.mark.data
def test_facts_of_the_azure_day(shared_data: Path) -> None:
    """Published: 927,272 requests to 1,350 functions in a day."""
    path = shared_data / "traces" / "azure_functions_2019_1350f_24h_counts.csv.gz"
    facts = trace_facts(path)
    assert (facts.kind, facts.requests, len(facts.counts), facts.end_s) == ("minute_counts", 927_272, 1350, 86_400)
