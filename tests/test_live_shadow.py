"""Shadow mode: the second policies are asked the same, change nothing, and their simulation is true to the journal."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_world import MB, Plan, Trouble, World, models, recorded, setup
from program import begun, mmesim
from test_replay import BUSY, ENDPOINTS, KNOWN, endpoint, journal_of

from mmesim.calibrate.shadow.decide import Shadow
from mmesim.calibrate.shadow.fit import fit
from mmesim.calibrate.shadow.observed import Observed
from mmesim.calibrate.shadow.saved import Saved, saved
from mmesim.errors import InputError
from mmesim.journal import LiveJournal
from mmesim.journal.read import JournalReader
from mmesim.live.replay import setup_of, with_overrides
from mmesim.live.setup import Setup
from mmesim.sim.run import simulate

OTHERS = ("endpoint.eviction.gpu=gdsf", "endpoint.eviction.gpu={use: ttl, keep_alive: 1s}",
          "endpoint.eviction.disk=random", "endpoint.routing=random", "endpoint.placement=random",
          "endpoint.placement={use: popularity_replicas, period: 1s}", "endpoint.autoscaling=[]",
          "endpoint.admission={use: queue_limit, per_copy: 1}",
          "endpoint.prewarm={use: hybrid_histogram, period: 1s}")


def shadowed(made_of: Setup, lines: list[str], second: Setup) -> Shadow:
    """The journal with others looking on."""
    reader = JournalReader(journal_of(made_of, lines), "journal")
    shadow = Shadow(setup_of(reader), second)
    for number, line in enumerate(reader.lines(), start=2):
        assert shadow.take(line, reader.entry, number), shadow.replay.outcome.difference
    return shadow


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(ENDPOINTS)), seed=st.integers(0, 1000),
       others=st.lists(st.sampled_from(OTHERS), min_size=1, max_size=4), later=st.integers(0, 3))
def test_whoever_looks_on_changes_nothing(name: str, seed: int, others: list[str], later: int) -> None:
    made_of = setup(endpoint(name), KNOWN, seed=seed, later=later, disk_mb=1500)
    _, lines = recorded(made_of, KNOWN, Plan(seed=seed, requests=120, trouble=BUSY), check=False)
    shadowed(made_of, lines, with_overrides(made_of, others))
    same = shadowed(made_of, lines, made_of)
    assert sum(same.tally.asked.values()) > 0 and not +same.tally.differ, "the same policies never differ"


@pytest.mark.parametrize(("kind", "other"), [
    ("eviction (memory)", "endpoint.eviction.gpu=lfu"), ("routing", "endpoint.routing=random"),
    ("placement", "endpoint.placement=hash"), ("keep-alive", "endpoint.eviction.gpu={use: ttl, keep_alive: 1s}"),
    ("admission", "endpoint.admission={use: queue_limit, per_copy: 1}"), ("autoscaling", "endpoint.autoscaling=[]"),
    ("rearrangement", "endpoint.placement={use: popularity_replicas, period: 1s, half_life: 5s}"),
    ("eviction (disk)", "endpoint.eviction.disk=random")])
def test_each_kind_of_decision_is_compared(kind: str, other: str) -> None:
    room = {"routing": (4000, 8000), "eviction (disk)": (250, 500)}.get(kind, (500, 600))
    made_of = setup(endpoint("spill"), KNOWN, gpu_mb=room[0], disk_mb=room[1])
    plan = Plan(seed=2, requests=1500, rate_rps=80, service_s=0.05, zipf=0.9)
    _, lines = recorded(made_of, KNOWN, plan, check=False)
    tally = shadowed(made_of, lines, with_overrides(made_of, (other,))).tally
    assert 0 < tally.differ[kind] <= tally.asked[kind]
    allowed = {kind, "eviction (memory)", "keep-alive"} if "eviction.gpu" in other else \
        {kind, "placement"} if "endpoint.placement" in other else {kind}
    assert set(+tally.differ) <= allowed, "only what was changed differs"
    assert tally.examples[kind][-1].count("live ") == 1 and "; second " in tally.examples[kind][-1]


def test_victims_by_hand() -> None:
    """Three models of one size, room for two: LRU and LFU part where the older one was used more often."""
    known = tuple(replace(model, gpu_bytes=100 * MB, framework_base_bytes=0) for model in models(3))
    made_of = setup({}, known, gpu_mb=210)
    lines: list[str] = []
    from mmesim.core import actions as act
    from mmesim.core import events as ev
    from mmesim.core.types import Failure
    from mmesim.journal.text import Lines
    from mmesim.live.machine import Machine
    from mmesim.live.ports import Ticket
    todo: list[act.Action] = []
    machine = Machine(made_of, made_of.policies(), Lines(lines.append), todo.append, lambda _: None)
    for number in range(3):
        machine.post(ev.ModelAdded(number), 1)
    machine.post(ev.InstanceJoined(0), 1)
    now_ns = 1
    for serial, model in enumerate((0, 0, 0, 1, 2)):
        now_ns += 1000
        ticket = Ticket(serial, model, "", now_ns)
        machine.arrive(ticket, now_ns)
        while todo:
            match todo.pop(0):
                case act.StartDownload(instance, which):
                    machine.post(ev.DownloadFinished(instance, which), now_ns)
                case act.LoadModel(instance, which):
                    machine.post(ev.LoadFinished(instance, which, 100 * MB, 0), now_ns)
                case act.UnloadModel(instance, which):
                    machine.post(ev.UnloadFinished(instance, which), now_ns)
        machine.depart(ticket, Failure.NONE, now_ns + 1)
    tally = shadowed(made_of, lines, with_overrides(made_of, ("endpoint.eviction.gpu=lfu",))).tally
    assert (tally.asked["eviction (memory)"], tally.differ["eviction (memory)"]) == (1, 1)
    assert tally.examples["eviction (memory)"][0].endswith("instance 0: live model-000; second model-001")


# What it would have saved.


def observed(made_of: Setup, lines: list[str]) -> Observed:
    """What the journal tells."""
    reader = JournalReader(journal_of(made_of, lines), "journal")
    seen = Observed(setup_of(reader))
    for entry in reader.entries():
        seen.take(entry)
    return seen


def simulated(seen: Observed, second: Setup) -> Saved:
    """Simulated under both."""
    return saved(seen, second, lambda build: simulate(build).summary)


def test_what_is_observed_is_what_happened() -> None:
    made_of = setup(endpoint("spill", scaling=False), KNOWN, gpu_mb=500)
    plan = Plan(seed=3, requests=2000, rate_rps=10, trouble=Trouble(load_fails=0.1))
    world, lines = recorded(made_of, KNOWN, plan, check=False)
    seen = observed(made_of, lines)
    answered = [ticket for ticket in world.tickets if not ticket.failure]
    assert seen.counts["requests"] == 2000 == seen.counts["failed"] + len(answered)
    assert seen.counts["hits"] == sum(ticket.tier == 0 for ticket in answered)
    assert len(seen.latency_ns) == len(answered) and len(seen.wait_ns) == sum(t.tier > 0 for t in answered)
    fitted, n = fit(seen), sum(map(len, seen.unload_s.values()))
    assert n > 50 and fitted.unload_s == pytest.approx(0.05, rel=4 / n ** 0.5), "the mean of exponential times"
    assert fitted.service_s[0] == pytest.approx(0.02, rel=4 / len(seen.alone_s[0]) ** 0.5)


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_the_simulation_is_true_to_the_journal(device: str) -> None:
    """One server, so that nothing depends on which of several was chosen first; all times are exponential."""
    room = {"gpu_mb": 1000} if device == "gpu" else {"gpu_mb": 0, "host_mb": 130}
    made_of = setup({}, KNOWN, **room)
    _, lines = recorded(made_of, KNOWN, Plan(seed=1, requests=6000, rate_rps=5, zipf=1.2), check=False)
    figures = {figure.name: figure for figure in simulated(observed(made_of, lines), made_of).figures}
    assert figures["requests"].fidelity == 0 == figures["failed"].fidelity
    assert abs(figures["hit ratio"].fidelity or 0) < 2 and figures["loads"].recorded > 500  # type: ignore[operator]
    for name, within in {"loads": 0.08, "evictions": 0.08, "load wait, mean": 0.1, "latency, mean": 0.1,
                         "latency, p50": 0.1}.items():
        assert abs(figures[name].fidelity or 0) < within, figures[name]
    for figure in figures.values():
        assert figure.live == figure.second, "the same policies on the same requests"


def test_a_better_policy_is_seen_to_be_better() -> None:
    """Under a skewed popularity LFU loads less than FIFO: in a live run of its own as in the simulation."""
    settings_of = {name: setup({"eviction": {"gpu": name}}, KNOWN, gpu_mb=1000) for name in ("fifo", "lfu")}
    plan = Plan(seed=4, requests=5000, rate_rps=5, zipf=1.2)
    lived = {name: recorded(made_of, KNOWN, plan, check=False)[1] for name, made_of in settings_of.items()}
    seen = {name: observed(settings_of[name], lines) for name, lines in lived.items()}
    loads = {figure.name: figure for figure in simulated(seen["fifo"], settings_of["lfu"]).figures}["loads"]
    truth = seen["lfu"].counts["loads"] / seen["fifo"].counts["loads"] - 1
    assert truth < -0.1 and loads.change == pytest.approx(truth, abs=0.06)


@pytest.mark.parametrize("at_once", [1, 4])
def test_how_many_a_copy_serves_at_once(at_once: int) -> None:
    seen = Observed(setup({}, KNOWN[:1]))
    service_ns, free, now = 10_000_000, [0] * at_once, 0
    for n in range(3000):
        now += (3_000_000 if n % 10 < 8 else 30_000_000) // at_once
        free.sort()
        free[0] = max(free[0], now) + service_ns
        seen.served[0, 0].append((now, free[0]))
    seen.alone_s[0] = [0.01] * 10
    assert fit(seen).at_once == at_once


# The command.


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a live journal was written to."""
    folder = tmp_path_factory.mktemp("journal")
    made_of = setup({"instances": 2}, KNOWN)
    sink = LiveJournal(folder, made_of)
    World(made_of, KNOWN, Plan(requests=1500, rate_rps=10), sink, check=False).run()
    sink.close()
    return folder


def test_the_command(journal: Path, tmp_path: Path) -> None:
    result = mmesim("live", "shadow", str(journal), "--set", "endpoint.eviction.gpu=lfu", "--out", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert all(text in result.stdout for text in ("eviction (memory)", "fidelity", "load wait, mean (ms)"))
    told = json.loads((tmp_path / "out" / "shadow.json").read_text(encoding="utf-8"))
    assert told["replay_equal"] and told["requests"] == 1500 and len(told["figures"]) == 11
    page = (tmp_path / "out" / "shadow.html").read_text(encoding="utf-8")
    assert "What they would have saved" in page and "eviction (memory)" in page


def test_no_second_policy_or_no_live_journal(journal: Path, tmp_path: Path) -> None:
    assert "no second policy" in mmesim("live", "shadow", str(journal), cwd=tmp_path).stderr
    empty = LiveJournal(tmp_path / "empty", setup({}, KNOWN))
    empty.close()
    result = mmesim("live", "shadow", "empty", "--set", "endpoint.eviction.gpu=lfu", cwd=tmp_path)
    assert result.returncode == 2 and "no request yet" in result.stderr


def test_it_follows_a_journal_that_is_being_written(tmp_path: Path) -> None:
    made_of = setup({"instances": 2}, KNOWN)
    sink = LiveJournal(tmp_path / "journal", made_of, flush_s=0.1)
    program = begun("live", "shadow", str(tmp_path / "journal"), "--set", "endpoint.eviction.gpu=lfu", "--follow",
                    "--every", "0.2", cwd=tmp_path)
    try:
        World(made_of, KNOWN, Plan(requests=1500, rate_rps=10), sink, check=False).run()
        assert program.stderr is not None
        line = next(line for line in program.stderr if "1,500 requests" in line)
        assert "eviction (memory)" in line
        time.sleep(0.3)
        program.send_signal(signal.SIGTERM)
        out, _ = program.communicate(timeout=60)
    finally:
        program.kill()
        sink.close()
    assert program.returncode == 0 and "eviction (memory)" in out and "fidelity" not in out


def test_clairvoyant_policies_cannot_look_on() -> None:
    made_of = setup({}, KNOWN)
    with pytest.raises(InputError, match="knows the requests to come"):
        Shadow(made_of, with_overrides(made_of, ("endpoint.eviction.gpu=belady",)))




def test_blind_and_seeing_routers_are_not_compared() -> None:
    made_of = setup(endpoint("spill"), KNOWN)
    _, lines = recorded(made_of, KNOWN, Plan(requests=50), check=False)
    shadow = shadowed(made_of, lines, with_overrides(made_of, ("endpoint.routing=ch_bl",)))
    assert "routing: one of the two is blind" in shadow.notes[0] and not shadow.tally.asked["routing"]
