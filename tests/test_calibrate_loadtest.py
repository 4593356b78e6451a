"""The parts of `mmesim calibrate load-test`: reading, Locust's percentiles, memory, the load generator, the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from program import mmesim

from mmesim.calibrate.loadtest.fit import warming_up
from mmesim.calibrate.loadtest.generator import GeneratorSpec, LoadGenerator
from mmesim.calibrate.loadtest.locust import percentiles_ms, rounded_ms
from mmesim.calibrate.loadtest.memory import MIB, calibrate_memory
from mmesim.calibrate.loadtest.predict import Settings, load_test, summary
from mmesim.calibrate.loadtest.tables import Poll, read_measurements
from mmesim.catalog import load_catalog
from mmesim.errors import InputError
from mmesim.workload.types import BLOCK, NEVER_NS, WORK_ONE

MS = 1_000_000
KIND = load_catalog()["ml.g4dn.2xlarge"]
MEMORY = ("model,engine,models_loaded,gpu_memory_pct,instance_type\n"
          "m,pt,1,8.0,ml.g4dn.2xlarge\nm,pt,2,9.8,ml.g4dn.2xlarge\n")
COLUMNS = ("model,engine,models_loaded,poll,requests_cum,failures_cum,rps_cum,avg_ms_cum,min_ms_cum,max_ms_cum,"
           "p50_ms_cum,p66_ms_cum,p75_ms_cum,p80_ms_cum,p90_ms_cum,p95_ms_cum,p98_ms_cum,p99_ms_cum\n")
FIRST = "m,pt,2,0,400,0,20.0,50,40,90,50,51,52,53,60,65,70,80\n"
SECOND = "m,pt,2,1,1000,0,25.0,55,40,95,52,53,54,55,62,67,72,82\n"


def _folder(at: Path, memory: str = MEMORY, load: str = COLUMNS + FIRST + SECOND) -> Path:
    (at / "memory_steps.csv").write_text(memory)
    (at / "load_test.csv").write_text(load)
    return at


def test_a_poll_carries_its_own_time(tmp_path: Path) -> None:
    measured, = read_measurements(_folder(tmp_path))
    assert (measured.name, measured.copies, measured.memory_pct) == ("m pt", 2, (8.0, 9.8))
    assert [poll.time_s for poll in measured.polls] == [20.0, 40.0]


@pytest.mark.parametrize(("memory", "load", "says"), [
    (MEMORY, COLUMNS, "no row below the header"),
    (MEMORY, COLUMNS.replace("p95_ms_cum", "p95") + FIRST, "no column 'p95_ms_cum'"),
    (MEMORY, COLUMNS + FIRST + FIRST, "is not after poll"),
    (MEMORY, COLUMNS + FIRST.replace("20.0", "0"), "rps_cum is '0'"),
    (MEMORY, COLUMNS + FIRST.replace("20.0", "many"), "rps_cum is 'many'"),
    (MEMORY, COLUMNS + FIRST.replace("65,70", "70,65"), "contradict one another"),
    (MEMORY, COLUMNS + FIRST + SECOND.replace("pt,2", "pt,3"), "models_loaded is '3'"),
    (MEMORY, COLUMNS + FIRST.replace("m,pt", "other,pt"), "other pt is not in it"),
    (MEMORY.replace("9.8", "7.8"), COLUMNS + FIRST + SECOND, "memory did not grow"),
    (MEMORY.replace("9.8", "980"), COLUMNS + FIRST + SECOND, "gpu_memory_pct is '980'"),
    (MEMORY.replace("pt,2", "pt,3"), COLUMNS + FIRST + SECOND, "models_loaded is '3'"),
    (MEMORY.replace("m,pt,2,9.8,ml.g4dn.2xlarge", "m,pt,2,9.8,ml.g5.xlarge"), COLUMNS + FIRST, "instance_type is"),
])
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, memory: str, load: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_measurements(_folder(tmp_path, memory, load))


def test_percentiles_as_locust_reports_them() -> None:
    latencies_ms = np.array([99.4, 104.0, 106.0, 994.0, 1049.0, 10_400.0])
    assert rounded_ms(latencies_ms).tolist() == [99, 100, 110, 990, 1000, 10_000]
    assert percentiles_ms(np.arange(1.0, 101.0), (0.5, 0.99)).tolist() == [51, 100]
    assert percentiles_ms(np.array([7.0]), (0.5, 0.99)).tolist() == [7, 7]


def test_memory_of_even_steps_is_their_mean() -> None:
    step = 300 * MIB / KIND.gpu_bytes * 100
    memory = calibrate_memory([8.0 + n * step for n in range(5)], "trt", KIND)
    assert abs(memory.copy_bytes - 300 * MIB) < 10 and memory.unseen_bytes == 0
    used = memory.first_bytes + (memory.copies - 1) * memory.copy_bytes
    assert used * (1 + 1 / memory.copies) >= 0.9 * KIND.gpu_bytes - 1
    assert memory.copies_below_threshold == 1 + (0.9 * KIND.gpu_bytes - memory.first_bytes) // memory.copy_bytes


def test_a_segment_not_seen_yet_is_expected_and_one_that_was_seen_is_not() -> None:
    step, segment = (size * MIB / KIND.gpu_bytes * 100 for size in (267, 20))
    even = [8.0 + n * step for n in range(5)]
    assert calibrate_memory(even, "pt", KIND).unseen_bytes == round(20 * MIB / 12)
    assert calibrate_memory([*even, even[-1] + step + segment], "pt", KIND).unseen_bytes == 0


class Users:
    """Closed-loop users with nothing random about them: model 0, a think time of 10 ms."""

    items = 1

    def __init__(self, n_users: int) -> None:
        self.n_users = n_users
        self.start_ns = np.zeros(n_users, np.int64)
        self.stop_ns = np.full(n_users, NEVER_NS)

    def draws(self, user: int, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `ClosedLoop.draws`."""
        return np.zeros(BLOCK, np.int32), np.full(BLOCK, 10 * MS), np.full(BLOCK, WORK_ONE)


def test_one_user_alone_sends_works_reads_and_thinks() -> None:
    generator = LoadGenerator(GeneratorSpec(1, 0.004, 0.0, 0.1), Users(1), seed=1)
    (sent_ns, user, model, work_q16), = generator.run(105 * MS)
    assert (sent_ns, user, model, work_q16) == (102 * MS, 0, 0, WORK_ONE)
    generator.answer(0, 110 * MS, failed=False)
    assert [each[0] for each in generator.run(200 * MS)] == [124 * MS]
    assert generator.ended == [(112 * MS, 12 * MS, False)]


def test_a_process_works_one_piece_at_a_time_and_users_are_dealt_out() -> None:
    sent = LoadGenerator(GeneratorSpec(2, 0.004, 0.0, 0.0), Users(6), seed=1).run(100 * MS)
    times = {process: [t for t, user, _, _ in sent if user % 2 == process] for process in (0, 1)}
    assert times == {0: [2 * MS, 4 * MS, 6 * MS], 1: [2 * MS, 4 * MS, 6 * MS]}


def test_waiting_pieces_are_taken_at_random() -> None:
    spec = GeneratorSpec(1, 0.004, 0.0, 0.0)
    orders = {tuple(user for _, user, _, _ in LoadGenerator(spec, Users(5), seed).run(100 * MS)) for seed in range(8)}
    assert len(orders) > 1
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)


def test_a_stretch_that_was_slower_than_a_busier_one_was_not_warm() -> None:
    def poll(time_s: float, requests: int, mean_ms: float) -> Poll:
        return Poll(0, time_s, requests, 0, requests / time_s, mean_ms, 1, 1e6, tuple(8 * [mean_ms]))

    cold = [poll(10, 100, 60), poll(20, 300, 50), poll(30, 700, 48)]
    assert warming_up(cold) == [0]
    assert warming_up([poll(10, 100, 40), poll(20, 300, 42), poll(30, 700, 48)]) == []


@pytest.mark.parametrize(("options", "says"), [
    (["--stages", "30:10"], "is not a stage"), (["--stages", "60:10:1,30:20:1"], "not in time order"),
    (["--wait", "soon"], "is not a range"), (["--calibrate-polls", "2"], "polls to calibrate on"),
    (["--calibrate-polls", "1"], "polls to calibrate on"), (["--figure", "load.txt"], "no kind of figure"),
    (["--calibrate-polls", "1", "--instance-type", "ml.m5.xlarge"], "has no GPU"),
    (["--instance-type", "ml.g9"], "unknown instance type")])
def test_wrong_options_end_with_exit_code_2(tmp_path: Path, options: list[str], says: str) -> None:
    done = mmesim("calibrate", "load-test", str(_folder(tmp_path)), *options, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = mmesim("calibrate", "load-test", "no-such-folder", cwd=tmp_path)
    assert done.returncode == 2 and "is not a folder" in done.stderr


@pytest.mark.data
def test_the_measured_endpoint(shared_data: Path) -> None:
    """Reached on the published endpoint with the first five memory steps and four polls, mean of seeds 1 to 3: copies
    exact; worst errors at the seven later polls: requests/s 1.7 % (resnet50) and 5.0 % (bert), mean 3.8 and 8.2 %, p50
    11.1 and 15.4 %, p95 22.7 (one poll, else below 18) and 6.1 %, p99 24.0 and 7.1 %. One seed, as here, is quicker and
    moves these by what the first polls leave open (requests/s up to 8 %, p50 up to 23 %); seed 1: requests/s 2.0 and
    1.8 %, mean 3.5 and 6.2 %, p50 10.4 and 7.7 %, p95 22.7 and 18.2 %, p99 25.3 and 25.2 %."""
    for result in load_test(read_measurements(shared_data / "sagemaker_mme_gpu"), Settings(seeds=1)):
        assert result.memory.copies == result.measured.copies
        errors = summary(result)
        worst = {name: abs(each["worst"]) for name, each in errors.items()}
        median = {name: each["median"] for name, each in errors.items()}
        assert worst["rps"] < 0.05 and worst["mean_ms"] < 0.10
        assert worst["p50_ms"] < 0.12 and worst["p95_ms"] < 0.25 and worst["p99_ms"] < 0.30
        assert median["p50_ms"] < 0.08 and median["p95_ms"] < 0.10


@pytest.mark.data
def test_later_polls_do_not_touch_the_fit(shared_data: Path, tmp_path: Path) -> None:
    """A file whose polls after the calibration are cut away, but two, gives the same times, to the last digit."""
    source = shared_data / "sagemaker_mme_gpu"
    with (source / "load_test.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    kept = [row for row in rows if row[0] == "resnet50"]
    found = []
    for until in (4, 7):
        folder = tmp_path / str(until)
        folder.mkdir()
        (folder / "memory_steps.csv").write_text((source / "memory_steps.csv").read_text())
        (folder / "load_test.csv").write_text("\n".join(",".join(row) for row in [header, *kept[:until]]) + "\n")
        done = mmesim("calibrate", "load-test", str(folder), "--json", "--calibrate-polls", "2", "--processes", "6",
                      "--seeds", "1", "--figure", str(folder / "load-test.svg"), cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "<svg" in (folder / "load-test.svg").read_text()
        found.append(json.loads(done.stdout)[0]["fits"])
    assert found[0] == found[1]
