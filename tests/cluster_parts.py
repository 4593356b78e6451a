"""Real clusters on loopback, always ended, and a scenario with files of its own whose runs leave traces behind."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from program import PROGRAM, environment, mmesim

BIN = Path(sys.executable).parent
SCENARIO = """
name: shipped
seed: 3
duration: 2m
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: 1
  eviction: {gpu: {use: "mine.py:Mine", folder: "%s", pause: 0.0, number: 0}}
models:
  - {profile: resnet50-pytorch-t4, count: 56, name: "resnet-{i:02}"}
workload:
  trace: trace.csv
"""
POLICY = '''
from dataclasses import dataclass, field
from pathlib import Path
import os
import time

import numpy as np
from mmesim.core.policy import EvictionPolicy


@dataclass
class Mine(EvictionPolicy):
    """The least recently used; each run says once that it has begun, and takes its time."""

    folder: str
    number: int
    pause: float
    begun: bool = field(init=False, default=False)

    def victims(self, candidates, need_bytes, now_ns):
        if not self.begun:
            self.begun = True
            Path(self.folder, f"{self.number} {os.getpid()} {time.time_ns()}").write_text(f"{__file__} {os.getcwd()}")
            time.sleep(self.pause)
        yield from candidates.ordered(np.maximum(candidates.last_use_ns, candidates.since_ns))


@dataclass
class Raises(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        raise KeyError("oh")
'''
NUMBER, PAUSE = "endpoint.eviction.gpu.number", "endpoint.eviction.gpu.pause"


def scenario(folder: Path) -> str:
    """Writes scenario, trace and policy to the folder; its name there. Runs leave their marks in ``folder/began``."""
    (folder / "began").mkdir()
    (folder / "mine.py").write_text(POLICY)
    (folder / "shipped.yaml").write_text(SCENARIO % (folder / "began"))
    rng = random.Random(1)
    lines = [f"{0.25 * k},model-{rng.randrange(56)}" for k in range(400)]
    (folder / "trace.csv").write_text("timestamp_s,model\n" + "\n".join(lines) + "\n")
    return "shipped.yaml"


def began(folder: Path) -> list[tuple[int, int]]:
    """(number of the point, process) of every run that has begun, in order."""
    found = sorted((path.name.split() for path in (folder / "began").iterdir()), key=lambda words: int(words[2]))
    return [(int(number), int(pid)) for number, pid, _ in found]


def table(folder: Path, name: str) -> pd.DataFrame:
    """The numbers of a sweep's runs, without what differs from run to run."""
    return pd.read_parquet(folder / "reports" / name / "points.parquet").drop(columns="wall_s")


def cells(folder: Path, name: str) -> int:
    """How many runs are stored."""
    return len(list((folder / "reports" / name / ".cells").glob("*.npz")))


def wait_until(holds: Callable[[], bool], what: str, of: subprocess.Popen[Any] | None = None,
               most_s: float = 60.0) -> None:
    """Waits, but not for ever, and not for a process that has ended."""
    until = time.monotonic() + most_s
    while not holds():
        assert of is None or of.poll() is None, of.communicate()
        assert time.monotonic() < until, f"waited {most_s:g} s for {what}"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def processes() -> Iterator[Callable[..., None]]:
    """Gives ``start(log, *command)``. At the end each command and all of its process group are ended, even when the
    tests were killed: a keeper waits for the end of its standard input. (Ray's agents hide their environment, outlive
    their parents, and stay in their group.)"""
    begun: list[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]] = []

    def start(log: Path, *command: str | Path) -> None:
        """In a folder that has none of the scenario's files."""
        elsewhere = log.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(list(map(str, command)), cwd=elsewhere, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=output, env=environment(RAY_USAGE_STATS_ENABLED="0"),
                                       start_new_session=True)
        keeper = subprocess.Popen(["sh", "-c", "cat >/dev/null; kill -KILL -- -$0", str(process.pid)],
                                  stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        begun.append((process, keeper))

    try:
        yield start
    finally:
        for process, _ in begun:
            process.terminate()
        for process, keeper in begun:
            _end(process, keeper)


def _end(process: subprocess.Popen[bytes], keeper: subprocess.Popen[bytes], grace_s: float = 5.0) -> None:
    """Of its own accord, else by force; the number of its group stays taken until then."""
    with suppress(AssertionError):
        wait_until(lambda: os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None,
                   "the end", most_s=grace_s)
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait()
    process.wait()


# ---- what each kind of cluster has to do


def same_numbers_as_here(folder: Path, address: str) -> None:
    """A sweep over a policy's parameter and a trace, here and on the cluster, which has none of the files."""
    name = scenario(folder)
    (folder / "other.csv").write_text((folder / "trace.csv").read_text().replace("model-1\n", "model-2\n"))
    asked = ("sweep", name, "--vary", f"{NUMBER}=1..2", "--vary", "workload.trace=trace.csv,other.csv",
             "--quiet", "--json")
    here = mmesim(*asked, "--name", "here", "--processes", "1", cwd=folder)
    assert here.returncode == 0, here.stderr
    ours = len(began(folder))
    there = mmesim(*asked, "--name", "there", "--cluster", address, cwd=folder)
    assert there.returncode == 0 and there.stderr == "", there.stderr
    pd.testing.assert_frame_equal(table(folder, "here"), table(folder, "there"))
    assert table(folder, "here")["residency.loads"].nunique() == 2, "the traces differ"
    summaries = [json.loads(done.stdout)["summary"] for done in (here, there)]
    assert summaries[0] == summaries[1]
    marks = [path.read_text().split() for path in (folder / "began").iterdir()]
    foreign = [(file, cwd) for file, cwd in marks if cwd != str(folder)]
    assert len(foreign) == len(marks) - ours == 4
    assert not any(file.startswith(str(folder)) for file, _ in foreign), "the policy came along"


def same_plan_as_here(folder: Path, address: str) -> None:
    """A plan with the policy and the trace: the search asks for the same runs and finds the same."""
    asked = ("plan", scenario(folder), "--set", "objective={error_rate: 1%, cold_start_ratio: 20%}", "--instances",
             "1..4", "--no-reasons", "--quiet", "--json")
    plans = []
    for where in (("--name", "here", "--processes", "1"), ("--name", "there", "--cluster", address)):
        done = mmesim(*asked, *where, cwd=folder)
        assert done.returncode == 0, done.stderr
        plans.append(json.loads(done.stdout))
    for part in ("chosen", "runner_up", "options", "effort"):
        assert plans[0][part] == plans[1][part]
    assert plans[0]["chosen"]["instances"] == 2, "one has no room for 56 models"


def killed_worker_costs_its_run_only(folder: Path, address: str, points: int = 7, pause_s: float = 0.6) -> None:
    """SIGKILL for a worker in the middle of a run: that run is made again, and no other."""
    name = scenario(folder)
    asked = [*PROGRAM, "sweep", name, "--vary", f"{NUMBER}=1..{points}", "--set", f"{PAUSE}={pause_s}", "--cluster",
             address, "--name", "killed"]
    driver = subprocess.Popen(asked, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    wait_until(lambda: cells(folder, "killed") >= 2 and len({pid for _, pid in began(folder)}) == 2, "two workers",
               driver)
    known = len(began(folder))
    wait_until(lambda: len(began(folder)) > known, "the next run", driver)
    victim, pid = began(folder)[-1]
    os.kill(pid, signal.SIGKILL)
    out, err = driver.communicate(timeout=100)
    assert driver.returncode == 0, err
    runs = pd.Series([number for number, _ in began(folder)]).value_counts()
    assert runs.drop(victim).eq(1).all() and runs[victim] == 2, (victim, began(folder))
    assert len(table(folder, "killed")) == points and f"{points} runs" in out


def killed_driver_goes_on(folder: Path, address: str, points: int = 5) -> None:
    """SIGKILL for the command in the middle: given again, it finds what is finished."""
    name = scenario(folder)
    asked = ("sweep", name, "--vary", f"{NUMBER}=1..{points}", "--set", f"{PAUSE}=0.4", "--cluster", address, "--name",
             "resumed")
    driver = subprocess.Popen([*PROGRAM, *asked], cwd=folder, env=environment(), text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: cells(folder, "resumed") >= 2, "two cells", driver)
    driver.kill()
    driver.wait()
    stored = cells(folder, "resumed")
    assert stored < points, "it was in the middle"
    done = mmesim(*asked, cwd=folder)
    assert done.returncode == 0 and f"{stored} of {points} runs are stored already" in done.stderr, done.stderr
    assert len(table(folder, "resumed")) == points


def wrong_policy_is_told_of_the_users_file(folder: Path, address: str) -> None:
    """What a policy raises on a worker is told with the file that the user has."""
    done = mmesim("sweep", scenario(folder), "--vary", "endpoint.eviction.gpu=mine.py:Raises", "--cluster", address,
                  cwd=folder)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    line = POLICY[:POLICY.index('raise KeyError')].count("\n") + 1
    assert "in mine.py:" in done.stderr and f"line {line}: Raises.victims raised KeyError" in done.stderr, done.stderr
