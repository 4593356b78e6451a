"""`mmesim live load` against an endpoint that does as it is told: no coordinated omission, closed loops as the
simulator predicts them, retries, scaled time, errors, and a generator that knows its own limits."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("aiohttp", reason="pip install 'mmesim[live]'")
pytest.importorskip("httptools", reason="pip install 'mmesim[live]'")

from dataplane_world import records, service, world
from load_stub import OK, Answer, Stub, running
from program import begun, mmesim
from typer.testing import CliRunner

from mmesim.cli.app import app
from mmesim.core.types import Failure
from mmesim.live.load.aim import Aim, take_aim
from mmesim.live.load.answers import Outcome, failure_of, outcome_of
from mmesim.live.load.bodies import BodyOptions, find_bodies, json_bytes
from mmesim.live.load.http import Answer as HttpAnswer
from mmesim.live.load.run import load_test
from mmesim.live.load.speed import at_speed
from mmesim.results.output import OutputWriter
from mmesim.results.run import Run
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.workload.types import Arrivals

SCENARIO = """
name: {name}
seed: 11
duration: 3s
endpoint: {{instance_type: ml.g4dn.2xlarge, instances: 4}}
models: [{{profile: resnet50-pytorch-t4, count: 3, name: "m{{i}}"}}]
workload:
  {workload}
checks: {{intended_overload: true}}
output: {{interval: 1s, requests: true}}
"""
STEADY = "arrivals: {use: gamma, rate_rps: 100, cv: 0.01}"
INPUT = BodyOptions(inputs=("INPUT:FP32:4",))
MS = 1_000_000


def a_build(folder: Path, workload: str, *settings: str, name: str = "load") -> Build:
    path = folder / f"{name}.yaml"
    path.write_text(SCENARIO.format(name=name, workload=workload))
    return build(load_scenario(str(path), settings))


def loaded(folder: Path, built: Build, stub: Stub, **options: Any) -> tuple[Run, Any]:
    """A load test against the stub: its results, and the requests as a table."""
    aim = Aim(stub.url, timeout_s=options.pop("timeout_s", 20.0), **options)
    out = OutputWriter(folder / "out")
    try:
        run = load_test(built, take_aim(built, aim, INPUT), {}, max_in_flight=aim.most, out=out)
        run.write(out)
    except BaseException:
        out.discard()
        raise
    return run, pq.read_table(out.commit() / "requests.parquet").to_pandas().sort_values("serial", ignore_index=True)


def lateness_ms(run: Run) -> float:
    return float(run.summary["live"]["generator"]["lag_ms"]["max"])


# ---- open workloads


def test_a_stalled_server_is_charged_for_all_that_came_meanwhile(tmp_path: Path) -> None:
    """Frozen for 1 s from request k on: a request that was to come at t has latency thaw - t, so of n a second,
    n(1 - x) take longer than x seconds. Whoever waits for an answer before it sends the next sees a single slow one."""
    with running(Stub(freeze_at=100)) as stub:
        run, table = loaded(tmp_path, a_build(tmp_path, STEADY), stub)
    issued_s, latency_s = table["issued_ns"] / 1e9, table["latency_ns"] / 1e9
    thaw_s = issued_s[100] + 1.0
    slack_s = 0.02 + lateness_ms(run) / 1e3
    stalled = (issued_s >= issued_s[100]) & (issued_s < thaw_s - slack_s)
    assert stalled.sum() == pytest.approx(100, abs=100 * slack_s + 3)
    np.testing.assert_allclose(latency_s[stalled], thaw_s - issued_s[stalled], atol=slack_s)
    for limit_s in (0.25, 0.5, 0.75):
        assert (latency_s > limit_s).sum() == pytest.approx(100 * (1 - limit_s), abs=100 * slack_s + 1)
    # of 300 requests the slowest third is spread evenly over 0 to 1 s: p90 = 1 - 0.3, p99 = 1 - 0.03
    assert run.summary["latency"]["all"]["p90"] == pytest.approx(700, abs=1e3 * slack_s + 10)
    assert run.summary["latency"]["all"]["p99"] == pytest.approx(970, abs=1e3 * slack_s + 10)


def test_requests_are_sent_at_their_times(tmp_path: Path) -> None:
    built = a_build(tmp_path, "arrivals: {use: poisson, rate_rps: 80}")
    again = a_build(tmp_path, "arrivals: {use: poisson, rate_rps: 80}").arrivals
    assert again is not None
    expected = again.next_chunk()
    assert expected is not None
    with running(Stub(service_s=lambda k: 0.3)) as stub:
        run, table = loaded(tmp_path, built, stub)
    np.testing.assert_array_equal(table["issued_ns"], expected.t_ns[:len(table)])
    assert [f"m{model}" for model in expected.model[:len(table)]] == table["model"].tolist()
    assert run.summary["requests"]["invocations"] == len(expected)
    assert run.summary["invariants"]["little_relative_error"] == 0
    assert run.summary["requests"]["concurrency_mean"] == pytest.approx(80 * 0.3, rel=0.25)


def test_time_can_pass_faster(tmp_path: Path) -> None:
    plain, fast = (a_build(tmp_path, "arrivals: {use: poisson, rate_rps: 20}", "duration=20s", "warmup=4s")
                   for _ in range(2))
    assert plain.arrivals is not None
    expected = plain.arrivals.next_chunk()
    assert expected is not None
    began_s = time.monotonic()
    with running(Stub()) as stub:
        run, table = loaded(tmp_path, at_speed(fast, 10), stub)
    assert 2.0 < time.monotonic() - began_s < 6.0
    np.testing.assert_array_equal(table["issued_ns"], expected.t_ns[:len(table)] // 10)
    assert (run.summary["run"]["ended_s"], run.summary["run"]["measured_from_s"]) == (2.0, 0.4)
    assert run.summary["requests"]["rate_rps"] == pytest.approx(200, rel=0.2)


def test_the_bound_of_requests_in_flight_is_told(tmp_path: Path) -> None:
    with running(Stub(service_s=lambda k: 0.1)) as stub:
        run, table = loaded(tmp_path, a_build(tmp_path, STEADY, "duration=2s"), stub, max_in_flight=4)
    generator = run.summary["live"]["generator"]
    assert generator["peak_in_flight"] == 4 and generator["bottleneck"]
    assert generator["held_back"] > 150
    assert any("--max-in-flight" in text for text in generator["said"])
    # 4 at a time of 0.1 s each are at most 40 a second; what waited is in the latency, and nothing is lost from sight
    assert 60 <= len(table) <= 80
    assert table["latency_ns"].iloc[-1] / 1e9 == pytest.approx(2 - table["issued_ns"].iloc[-1] / 1e9, abs=0.2)
    requests = run.summary["requests"]
    assert requests["invocations"] == pytest.approx(200, abs=2)
    assert requests["in_flight_at_end"] == requests["invocations"] - len(table)


class Heavy:
    """A target that keeps the only core busy: the generator cannot keep up."""

    async def send(self, model: int, items: int) -> Outcome:
        time.sleep(0.02)
        return Outcome()

    async def close(self) -> None:
        pass


def test_a_generator_that_is_the_bottleneck_says_so(tmp_path: Path) -> None:
    run = load_test(a_build(tmp_path, STEADY, "duration=2s"), Heavy, {})
    generator = run.summary["live"]["generator"]
    assert generator["bottleneck"] and generator["said"][0].startswith("The generator was late by")
    # 100/s came, 50/s went: at 2 s it is 1 s behind, and then sends what it had taken up
    assert 800 < generator["lag_ms"]["max"] < 2500
    from mmesim.report.findings import findings
    assert findings(run.summary)[0] == generator["said"][0]


# ---- closed workloads


CLIENTS = """clients: {stages: [{until: 2s, users: 12, spawn_rate: 6}, {until: 5s, users: 8, spawn_rate: 20}],
             wait: {law: exponential, mean: 100ms}}"""


def test_a_closed_loop_goes_as_the_simulator_says(tmp_path: Path) -> None:
    """One server of constant service time, nearly saturated by users in stages; the prediction takes the time that the
    stub really served. Other processes of this machine slow the users too: one of three tries must be right."""
    errors: list[dict[str, float]] = []
    while len(errors) < 3 and not any(map(within, errors)):
        built = a_build(tmp_path, CLIENTS, "duration=5s")
        with running(Stub(service_s=lambda k: 0.03, one_at_a_time=True)) as stub:
            _, live = loaded(tmp_path / str(len(errors)), built, stub)
        took_ms = 1e3 * float(np.mean(stub.served_s))
        # the three models share one server: as one model, of one execution instance
        told = records(world([service(took_ms)], clients=replace_models(built.clients)), until_ms=5000)
        simulated = told[told["latency_ns"] > 0]
        first = live.groupby("user")["issued_ns"].min().sort_index()
        np.testing.assert_array_equal(first, built.clients.start_ns[:len(first)])
        assert live["user"].nunique() == 12 == len(built.clients.start_ns)
        errors.append({"requests": len(live) / len(simulated) - 1,
                       "mean": live["latency_ns"].mean() / simulated["latency_ns"].mean() - 1,
                       "median": np.median(live["latency_ns"]) / np.median(simulated["latency_ns"]) - 1})
    assert any(map(within, errors)), errors


def within(errors: dict[str, float]) -> bool:
    """Requests within 3 %, latencies within 6 %."""
    return all(abs(error) <= (0.03 if name == "requests" else 0.06) for name, error in errors.items())


def replace_models(clients: Any) -> Any:
    """The same users, who all ask for model 0."""

    class One:
        n_users, items, start_ns, stop_ns = clients.n_users, clients.items, clients.start_ns, clients.stop_ns

        @staticmethod
        def draws(user: int, block: int) -> Any:
            model, think_ns, work = clients.draws(user, block)
            return np.zeros_like(model), think_ns, work

    return One()


def test_users_ask_and_think_as_they_were_drawn(tmp_path: Path) -> None:
    built = a_build(tmp_path, "clients: {users: 3, wait: {law: exponential, mean: 15ms}}", "duration=2s")
    with running(Stub()) as stub:
        _, table = loaded(tmp_path, built, stub)
    assert built.clients is not None
    for user in range(3):
        rows = table[table["user"] == user].sort_values("issued_ns")
        draws = [built.clients.draws(user, block) for block in range(3)]
        models, thinks = (np.concatenate([draw[part] for draw in draws]) for part in (0, 1))
        assert len(rows) > 64, "more than a block"
        n = min(len(rows), len(models))
        assert rows["model"].tolist()[:n] == [f"m{model}" for model in models[:n]]
        ended_ns = (rows["issued_ns"] + rows["latency_ns"]).to_numpy()
        np.testing.assert_array_equal(rows["issued_ns"].to_numpy()[1:n] - ended_ns[:n - 1], thinks[:n - 1])


# ---- retries and errors


def test_failures_are_tried_again_after_growing_pauses(tmp_path: Path) -> None:
    built = a_build(tmp_path, STEADY + "\n  retries: {attempts: 3, backoff: 100ms, jitter: 0%, on: [429]}")
    assert built.arrivals is not None
    first = built.arrivals.next_chunk()
    assert first is not None
    busy = (429, '{"Message": "the model is still being loaded: try again"}', {})
    with running(Stub(answer=lambda k: busy if k < 2 else OK)) as stub:
        run, table = loaded(tmp_path, replace(built, arrivals=Once(first[:1])), stub)
    assert table["attempt"].tolist() == [1, 2, 3]
    assert table["failure"].tolist() == ["model_not_ready", "model_not_ready", "none"]
    ended_ns = table["issued_ns"] + table["latency_ns"]
    assert (table["issued_ns"].iloc[1:].to_numpy() - ended_ns.iloc[:-1].to_numpy()).tolist() == [100 * MS, 200 * MS]
    assert table["first_issued_ns"].nunique() == 1
    assert run.summary["requests"]["retries"] == 2 and len(stub.seen) == 3


class Once:
    """One chunk of arrivals."""

    def __init__(self, chunk: Arrivals) -> None:
        self._chunks = [chunk]

    def next_chunk(self) -> Arrivals | None:
        return self._chunks.pop() if self._chunks else None


def test_every_kind_of_end_is_told_apart(tmp_path: Path) -> None:
    ends: list[Answer] = [
        OK, (400, '{"error": "Request for unknown model: \'m0\' is not found"}', {}), (0, "", {}),
        (424, '{"Message": "the invocation timed out", "OriginalStatusCode": 0}', {}),
        (424, '{"Message": "the model could not be loaded"}', {}), (500, '{"error": "boom"}', {}),
        (503, '{"Message": "refused by the endpoint\'s admission policy: slow down"}', {}),
        (503, '{"Message": "anything"}', {"X-Mmesim-Failure": "queue_full"})]
    slow = len(ends)
    with running(Stub(answer=lambda k: ends[k % slow] if k < 2 * slow else OK,
                      service_s=lambda k: 9.0 if k == 2 * slow else 0.0)) as stub:
        run, table = loaded(tmp_path, a_build(tmp_path, STEADY, "duration=1500ms"), stub, timeout_s=0.5)
    failures = run.summary["requests"]["failures"]
    assert {name: each["count"] for name, each in failures.items()} == {
        "no_such_model": 2, "instance_lost": 2, "timeout": 3, "load_failed": 2, "model_error": 2, "throttled": 2,
        "queue_full": 2}
    late = table[table["latency_ns"] > 400 * MS]
    # uvloop rounds its clock to a millisecond
    assert late["failure"].tolist() == ["timeout"] and 499 <= late["latency_ns"].iloc[0] / MS < 650
    said = {error["text"]: error["count"] for error in run.summary["live"]["errors"]}
    assert said['{"error": "boom"}'] == 2


@pytest.mark.parametrize("status, text, failure", [
    (429, "", Failure.MODEL_NOT_READY), (404, "", Failure.NO_SUCH_MODEL), (504, "", Failure.TIMEOUT),
    (503, "Exceeds maximum queue size", Failure.QUEUE_FULL), (503, "", Failure.INSTANCE_LOST),
    (400, "unexpected shape for input", Failure.MODEL_ERROR), (424, "Timeout expired", Failure.TIMEOUT)])
def test_a_status_or_a_text_says_the_kind(status: int, text: str, failure: Failure) -> None:
    assert failure_of(status, text.encode(), {}) is failure


def test_headers_say_tier_instance_and_times(tmp_path: Path) -> None:
    told = {"X-Mmesim-Instance": "2", "X-Mmesim-Tier": "s3", "X-Mmesim-Wait-Ms": "30", "X-Mmesim-Server-Ms": "20"}
    with running(Stub(service_s=lambda k: 0.06, answer=lambda k: (200, "{}", told))) as stub:
        run, table = loaded(tmp_path, a_build(tmp_path, STEADY, "duration=1s"), stub)
    assert set(table["tier"]) == {"s3"} and set(table["instance"]) == {2}
    assert run.summary["cache"]["hit_ratio"] == 0.0 and run.summary["latency"]["cold_s3"]["count"] == len(table)
    assert run.summary["time"]["load"]["mean_ms"] == 30 and run.summary["time"]["compute"]["mean_ms"] == 20
    np.testing.assert_array_equal(table["overhead_ns"], table["latency_ns"] - 50 * MS)
    assert run.summary["time"]["queue"]["mean_ms"] is None
    assert run.summary["live"]["not_measured"] == ["time within the server", "residency", "use", "instances",
                                                   "batches"]


def test_an_answer_that_tells_nothing_is_no_hit(tmp_path: Path) -> None:
    with running(Stub()) as stub:
        run, _ = loaded(tmp_path, a_build(tmp_path, STEADY, "duration=1s"), stub)
    assert run.summary["cache"]["hit_ratio"] is None and run.summary["time"]["compute"]["mean_ms"] is None
    from mmesim.report.html import render_html
    page = render_html(run)
    assert "hit ratio" not in page and "cost per hour" not in page and "Not measured" in page
    assert outcome_of(HttpAnswer(200)).tier == -1


# ---- what is sent


def test_the_request_is_as_the_api_wants_it(tmp_path: Path) -> None:
    built = a_build(tmp_path, STEADY + "\n  items: 2", "duration=1s")
    for options in ({}, {"api": "kserve"}):
        with running(Stub()) as stub:
            loaded(tmp_path, built, stub, endpoint="demo", token="secret", **options)
            built = a_build(tmp_path, STEADY + "\n  items: 2", "duration=1s")
        path, headers, body = stub.seen[0]
        n = json_bytes(body)
        header = json.loads(body[:n])
        assert header["inputs"][0]["shape"] == [2, 4] and len(body) - n == 2 * 4 * 4
        assert headers["Authorization"] == "Bearer secret"
        if options:
            assert path in {f"/v2/models/m{i}/infer" for i in range(3)}
            assert headers["Inference-Header-Content-Length"] == str(n)
        else:
            assert path == "/endpoints/demo/invocations"
            assert headers["X-Amzn-SageMaker-Target-Model"] in {f"m{i}.tar.gz" for i in range(3)}
            assert headers["Content-Type"].endswith(f"json-header-size={n}")


def test_boto3_sends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real boto3 with a thread a request; its own retries are off, so an error is seen once."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    told = {"X-Mmesim-Tier": "disk", "X-Mmesim-Server-Ms": "5"}
    busy = (429, '{"Message": "x"}', {"x-amzn-errortype": "ModelNotReadyException"})
    with running(Stub(service_s=lambda k: 0.02, answer=lambda k: busy if k == 3 else (200, "{}", told))) as stub:
        run, table = loaded(tmp_path, a_build(tmp_path, STEADY, "duration=2s"), stub, aws=True, endpoint="mme",
                            max_in_flight=16)
    path, headers, body = stub.seen[0]
    assert path == "/endpoints/mme/invocations" and json_bytes(body) > 0
    assert headers["X-Amzn-SageMaker-Target-Model"].endswith(".tar.gz")
    assert (table["failure"] == "model_not_ready").sum() == 1 and len(table) == pytest.approx(200, abs=20)
    assert run.summary["latency"]["cold_disk"]["count"] == run.summary["requests"]["completions"]


def test_bodies_come_from_files_by_pattern(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"inputs": []}')
    (tmp_path / "b.bin").write_bytes(b'{"inputs": [1]}' + bytes(8))
    bodies = find_bodies([["bert-0", "resnet-0"]],
                         BodyOptions(tmp_path / "a.json", (("bert-*", tmp_path / "b.bin"),)), None)
    assert bodies.of("resnet-0", 1).json_bytes == 0 and bodies.of("bert-0", 5).json_bytes == 15
    assert bodies.of("bert-0", 1) is bodies.of("bert-0", 1)


# ---- the command


def command(folder: Path, url: str, *options: str) -> tuple[str, ...]:
    (folder / "s.yaml").write_text(SCENARIO.format(name="s", workload=STEADY))
    return ("live", "load", "s.yaml", "--target", url, "--input", "INPUT:FP32:4", *options)


def test_the_command_writes_the_results_of_a_run(tmp_path: Path) -> None:
    with running(Stub()) as stub:
        done = mmesim(*command(tmp_path, stub.url, "--speed", "2", "--json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["requests"]["completions"] > 250 and summary["live"]["speed"] == 2.0
    folder = tmp_path / "reports" / "s-live"
    assert {path.name for path in folder.iterdir()} >= {"summary.json", "report.html", "requests.parquet"}
    shown = mmesim("report", str(folder), cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "not measured" in shown.stdout and "mean / peak" not in shown.stdout


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    with running(Stub()) as stub:
        process = begun(*command(tmp_path, stub.url, "--duration", "60s", "--no-report"), cwd=tmp_path)
        while len(stub.seen) < 100:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    summary = json.loads((tmp_path / "reports" / "s-live" / "summary.json").read_text())
    assert summary["run"]["partial"] and summary["requests"]["completions"] >= 90


@pytest.mark.parametrize("options, said", [
    (("--target", "http://127.0.0.1:9", "--input", "X:FP32:1"), "cannot be reached"),
    (("--target", "ftp://x"), "is not an address"), ((), "no target is named"),
    (("--target", "URL"), "what to send to m0 and its like?"), (("--target", "URL", "--input", "X:F:1"), "is no input"),
    (("--target", "URL", "--body-for", "x.json"), "is not PATTERN=FILE"), (("--speed", "0"), "is no speed"),
    (("--target", "URL", "--token-env", "NOWHERE"), "there is no NOWHERE")])
def test_what_is_wrong_is_said_before_anything_is_sent(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.format(name="s", workload=STEADY))
    with running(Stub()) as stub:
        given = [stub.url if text == "URL" else text for text in options]
        done = CliRunner().invoke(app, ["live", "load", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "r"), *given])
    assert done.exit_code == 2 and said in done.stderr, done.output
    assert stub.seen == [] and not (tmp_path / "r").exists()
