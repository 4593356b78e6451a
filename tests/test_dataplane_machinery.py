"""What must not show in the results: room, cuts, compilation. One busy small world, run in many ways, one digest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mmesim.core.lifecycle import Residency
from mmesim.core.types import Failure, Tier
from mmesim.dataplane import api, counters, jit
from mmesim.dataplane.api import RetrySpec, Stop, Stopped
from mmesim.dataplane.arrays import ROOM, Room
from mmesim.dataplane.plane import KernelPlane
from mmesim.dataplane.sketch import bucket
from mmesim.dataplane.splitmix import draw
from mmesim.policies.admission.queue_limit import QueueLimit
from tests.dataplane_world import MS, Fewest, Users, cold_start, loaded, service, world

ROOT = Path(__file__).resolve().parent.parent
MODELS = 12
END_MS = 1500


def busy_world(room: Room = ROOM, chunk: int = 1000, blind: bool = False) -> KernelPlane:
    """Everything at once: open and closed load, cold starts, spills, limits, deadlines that are missed, retries."""
    rng = np.random.default_rng(5)
    preferred = ((), (2,), (2, 3))
    services = [service(1.4, 2, 2.5, max_batch=4, max_queue_delay_ms=m % 3, preferred=preferred[m % 3],
                        cpu_ms=(0, 0.4)[m % 2], max_queue=6, instance_count=1 + m % 2,
                        share_q16=np.array([0, 20_000, 30_000]) if m == 1 else 30_000 + 5000 * m,
                        queue_timeout_ms=(0, 20)[m % 2], first_inference_ms=3, on_cpu=m == 7, overhead_ms=0.5,
                        prefetched_batches=m % 4, frontend_ms=(0, 0.1)[m % 3 > 0], frontend_per_item_ms=0.1)
                for m in range(MODELS)]
    arrivals = [(t, int(model), int(items), work) for t, model, items, work in zip(
        np.cumsum(rng.exponential(0.8, 1500)).round(1), rng.zipf(1.6, 1500) % MODELS, rng.integers(1, 4, 1500),
        rng.gamma(4, 0.25, 1500), strict=True)]
    users = Users(5, model=lambda user, k: (3 * user + k // 40) % MODELS, think_ms=1, stop_ms=900)
    plane = world(services, arrivals, instances=3, ready=[(0, 0), (1, 1)], routing=Fewest(blind, 4), clients=users,
                  admission=QueueLimit(per_endpoint=40), timeout_ms=50, vcpus=2, interference_q16=4000,
                  frontend_threads=2, room=room, chunk=chunk, route_seed=3, retry_seed=4,
                  retry=RetrySpec(attempts=3, backoff_ns=7 * MS, on_status=(424, 429, 503)))
    plane.table.copies["watch"] = 1
    return plane


def drive(plane: KernelPlane, step_ms: float) -> str:
    """Answer every stop in a fixed way (loads take 25 to 70 ms), cut the time at steps, lose an instance, add one;
    gives a digest of all stops, records, counters and sketches."""
    told: list[Stopped] = []
    due: list[tuple[int, int, int]] = []
    acts = {400 * MS: _lose, 700 * MS: _add, 800 * MS: _slow}
    takes: list[bytes] = []
    while plane.now_ns < END_MS * MS:
        times = [at for at in (*acts, *(at for at, _, _ in due)) if at >= plane.now_ns]
        horizon = min([END_MS * MS, *times])
        cut = min(horizon, (plane.now_ns // round(step_ms * MS) + 1) * round(step_ms * MS))
        stopped = plane.advance(cut)
        if stopped.stop != Stop.HORIZON:
            told.append(stopped)
            _answer(plane, stopped, due)
            continue
        for at, instance, model in [load for load in due if load[0] == plane.now_ns]:
            due.remove((at, instance, model))
            _finish(plane, instance, model, at)
        if plane.now_ns in acts:
            takes.append(plane.take().endpoint.tobytes())
            acts.pop(plane.now_ns)(plane, due)
    plane.check()
    took = plane.take()
    copies = plane.table.copies
    parts = [repr(told).encode(), str(plane.in_flight()).encode(), plane.take_records().tobytes(), *takes,
             took.endpoint.tobytes(), took.sketch.tobytes(), took.instances.tobytes(), plane.model_counters().tobytes(),
             plane.model_sketches().tobytes(), *(copies[name].tobytes() for name in copies.dtype.names)]
    kinds = {stop.stop for stop in told}
    assert kinds >= {Stop.MISS, Stop.WISH, Stop.IDLE, Stop.WORK_DONE} or plane.state.clock["blind"][0]
    return sha256(b"".join(parts)).hexdigest()


def _answer(plane: KernelPlane, stopped: Stopped, due: list[tuple[int, int, int]]) -> None:
    table = plane.table
    if stopped.stop in (Stop.MISS, Stop.WISH):
        absent = [i for i in table.serving.tolist() if table.state(i, stopped.model) != Residency.READY]
        if stopped.stop == Stop.MISS and stopped.model == MODELS - 1:
            plane.reject_pending(Failure.NO_SUCH_MODEL)
        elif absent:
            instance = stopped.instance if stopped.instance >= 0 else absent[stopped.model % len(absent)]
            cold_start(table, instance, stopped.model, plane.now_ns / MS, Tier.DISK)
            due.append((plane.now_ns + (25 + 15 * (stopped.model % 4)) * MS, instance, stopped.model))
            plane.start_work(instance, 3 * MS)
    elif stopped.stop == Stop.IDLE:
        table.copies["watch"][table.row(stopped.instance, stopped.model)] = stopped.time_ns % 3


def _finish(plane: KernelPlane, instance: int, model: int, at: int) -> None:
    if model == MODELS - 2:
        plane.table.cold_ended(instance, model)
        plane.table.models["failed_until_ns"][model] = at + 30 * MS
        plane.fail_held(instance, model, Failure.LOAD_FAILED)
        return
    loaded(plane.table, instance, model, downloaded=at / MS - 20, extracted=at / MS - 15, load_started=at / MS - 11,
           ready_since=at / MS)
    plane.release(instance, model)


def _lose(plane: KernelPlane, due: list[tuple[int, int, int]]) -> None:
    table = plane.table
    table.set_serving(1, False)
    for load in [load for load in due if load[1] == 1]:
        due.remove(load)
        table.cold_ended(1, load[2])
    for model in range(MODELS):
        table.advance(1, model, "instance lost")
    plane.fail_instance(1, Failure.INSTANCE_LOST)


def _add(plane: KernelPlane, _due: list[tuple[int, int, int]]) -> None:
    plane.table.grow(4)
    plane.grow_instances()
    plane.table.set_serving(3, True)


def _slow(plane: KernelPlane, _due: list[tuple[int, int, int]]) -> None:
    plane.set_speed(0, 40_000, 50_000)


@pytest.fixture(scope="module")
def usual() -> str:
    """The digest of the usual way."""
    return drive(busy_world(), 100_000)


def test_the_busy_world_has_everything() -> None:
    plane = busy_world()
    drive(plane, 100_000)
    totals = plane.counted()
    assert totals["completions"] > 1000
    failed = {Failure(f) for f in np.unique(_records(busy_world())["failure"])}
    assert failed == set(Failure) - {Failure.MODEL_ERROR}, "each kind of failure is in it that a simulated model has"


def _records(plane: KernelPlane) -> np.ndarray:
    kept = plane.take_records
    found: list[np.ndarray] = []
    plane.take_records = lambda: found.append(kept()) or found[0]  # type: ignore[method-assign,func-returns-value]
    drive(plane, 100_000)
    return found[0]


@pytest.mark.parametrize("step_ms", [0.1, 7.3])
def test_cuts_do_not_show(step_ms: float, usual: str) -> None:
    assert drive(busy_world(), step_ms) == usual


def test_room_does_not_show(usual: str) -> None:
    assert drive(busy_world(Room(slots=1, jobs=1, records=1, rebase_q16=1 << 20), chunk=7), 100_000) == usual


def test_room_does_not_show_to_blind_routing() -> None:
    tight = drive(busy_world(Room(slots=1, jobs=1, records=1), chunk=7, blind=True), 3)
    assert tight == drive(busy_world(blind=True), 100_000)


PROGRAM = "from tests.test_dataplane_machinery import busy_world, drive; print(drive(busy_world(blind={}), 100_000))"


def in_another_process(**environment: str) -> list[str]:
    """Digests of both routings, by another interpreter; any warning is an error there."""
    return [subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", PROGRAM.format(blind)], cwd=ROOT,
                           check=True, capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT), **environment}).stdout.strip()
            for blind in (False, True)]


def test_uncompiled_is_the_same(usual: str) -> None:
    if not jit.COMPILED:
        pytest.skip("this very run is uncompiled")
    assert in_another_process(NUMBA_DISABLE_JIT="1") == [usual, drive(busy_world(blind=True), 100_000)]


def test_no_index_is_out_of_bounds(usual: str) -> None:
    if not jit.COMPILED:
        pytest.skip("NumPy checks all indices in an uncompiled run")
    assert in_another_process(NUMBA_BOUNDSCHECK="1")[0] == usual


# ---- twins of the contract's functions


def _python(function: Callable[..., int]) -> Callable[..., int]:
    return getattr(function, "py_func", function)


def test_draws_are_the_contracts() -> None:
    with np.errstate(over="ignore"):
        for seed in (0, 1, 2**64 - 1):
            for serial in (0, 1, 10**9):
                for which in (0, 399):
                    assert _python(draw)(np.uint64(seed), serial, which) == api.draw(seed, serial, which)


def test_buckets_are_the_contracts() -> None:
    for latency in (0, 511, 512, 63 << 9, 64 << 9, (128 << 9) - 1, 128 << 9, 10**7, 12_345_678_901, 1 << 60):
        assert _python(bucket)(latency) == counters.sketch_bucket(latency)


# ---- compilation


def test_the_private_option_is_known() -> None:
    """Without it the kernel works, at two thirds of the speed: time to look what numba calls it now."""
    assert "_nrt" in jit.OPTIONS


def test_one_compilation_serves_all() -> None:
    if not jit.COMPILED:
        pytest.skip("uncompiled")
    from mmesim.dataplane.kernel import step

    drive(busy_world(), 100_000)
    assert len(step.signatures) == 1


def test_the_cache_is_below_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = jit.cache_folder.__wrapped__
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder().parent == tmp_path / "mmesim"
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert "kernel-" in folder().name and tmp_path not in folder().parents


def test_warming_up_tells_only_when_there_is_something_to_wait_for() -> None:
    from mmesim.dataplane.compiled import is_compiled, warm_up

    warm_up(lambda _: None)
    said: list[str] = []
    warm_up(said.append)
    assert is_compiled() and said == []


def test_the_plane_can_be_imported_without_numba() -> None:
    code = "import sys, mmesim.dataplane.plane, mmesim.dataplane.compiled; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout == "False\n"
