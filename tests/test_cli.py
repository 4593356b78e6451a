"""The command line from outside: exit codes, what goes to stdout and what to stderr, and what is left behind."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import EVERYTHING, PROGRAM, ROOT, SHORT, begun, environment, mmesim

from mmesim.scenario.load import scenario_names

QUICK = ("run", "quickstart", *SHORT, "--no-report")
ENDLESS = ("run", "many-small", "--set", "duration=100d", "--set", "output.interval=1d", "--no-report")


def clean(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that told its user what is wrong, without a traceback, with exit code 2."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def left_in(folder: Path) -> list[str]:
    """Names of what stands in a folder, hidden things too."""
    return sorted(os.listdir(folder)) if folder.exists() else []


# Without a run ------------------------------------------------------------------------------------------------


def test_help_comes_at_once_and_has_examples(tmp_path: Path) -> None:
    started = time.perf_counter()
    text = mmesim("--help", cwd=tmp_path).stdout
    assert time.perf_counter() - started < 1.5, "0.25 s on an idle machine; no heavy library is imported"
    assert "mmesim run quickstart" in text and "Exit codes" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = ("import sys; sys.argv = ['mmesim', '--help']\nfrom mmesim.cli import main\ntry: main()\n"
            "except SystemExit: pass\n"
            "print({'numpy', 'pandas', 'numba', 'pyarrow', 'pydantic', 'matplotlib', 'simpy'} & set(sys.modules))")
    done = subprocess.run([PROGRAM[0], "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True,
                          check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("command", ["run", "report", "init", "schema", "policies", "check-policy", "catalog", "doctor",
                                     "profile list", "profile show"])
def test_each_command_shows_an_example(command: str, tmp_path: Path) -> None:
    text = mmesim(*command.split(), "--help", cwd=tmp_path).stdout
    assert f"mmesim {command}" in text.partition("Usage")[2].partition("Example")[2]


@pytest.mark.parametrize("command", ["policies", "policies eviction", "catalog", "catalog ml.g4dn.2xlarge",
                                     "profile list", "profile show resnet50-pytorch-t4", "check-policy eviction/lru",
                                     "doctor", "schema"])
def test_json_is_all_there_is_on_stdout(command: str, tmp_path: Path) -> None:
    done = mmesim(*command.split(), *([] if command == "schema" else ["--json"]), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


def test_whoever_has_read_enough_may_leave(tmp_path: Path) -> None:
    pipe = f"{' '.join(PROGRAM)} catalog | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], cwd=tmp_path, env=environment(), capture_output=True, text=True,
                          check=True)
    assert (done.stdout.split()[0], done.stdout.split()[-1], done.stderr) == ("type", "0", "")


def test_piped_lines_are_whole_and_end_where_they_end(tmp_path: Path) -> None:
    lines = mmesim("catalog", cwd=tmp_path).stdout.splitlines()
    assert any(line.startswith("ml.g4dn.2xlarge  ") and "0.94" in line for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []


def test_init_copies_the_examples_and_never_over_what_is_there(tmp_path: Path) -> None:
    assert mmesim("init", cwd=tmp_path).returncode == 0
    assert left_in(tmp_path / "scenarios") == sorted(f"{name}.yaml" for name in scenario_names())
    (tmp_path / "scenarios" / "spike.yaml").write_text("mine")
    assert "--force" in clean(mmesim("init", cwd=tmp_path))
    assert (tmp_path / "scenarios" / "spike.yaml").read_text() == "mine"
    assert mmesim("init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "scenarios" / "spike.yaml").read_text() == (ROOT / "scenarios" / "spike.yaml").read_text()


# Names --------------------------------------------------------------------------------------------------------


def test_a_name_is_a_file_if_there_is_one_and_else_an_example(tmp_path: Path) -> None:
    assert "quickstart: the scenario is fine" in mmesim("run", "quickstart", "--dry-run", cwd=tmp_path).stderr
    (tmp_path / "quickstart").write_text((ROOT / "scenarios" / "thrash.yaml").read_text())
    assert "thrash: the scenario is fine" in mmesim("run", "quickstart", "--dry-run", cwd=tmp_path).stderr


def test_a_dry_run_writes_nothing_and_shows_all_settings(tmp_path: Path) -> None:
    done = mmesim("run", "quickstart", "--dry-run", "--json", "--name", "007", "--seed", "8", cwd=tmp_path)
    settings = json.loads(done.stdout)
    assert (settings["name"], settings["seed"], settings["endpoint"]["eviction"]["gpu"]["use"]) == ("007", 8, "lru")
    assert left_in(tmp_path) == []


# Wrong input --------------------------------------------------------------------------------------------------

WRONG = [
    (["run", "quikstart"], "did you mean 'quickstart'"),
    (["run", "nothing.yaml"], "no such file"),
    (["run", "."], "is a folder"),
    (["run", "broken.yaml"], "is not YAML"),
    (["run", "binary.yaml"], "UTF-8"),
    (["run", "quickstart", "--set", "endpoint.instanes=3"], "did you mean 'instances'"),
    (["run", "quickstart", "--set", "duration"], "--set path.to.setting=value"),
    (["run", "quickstart", "--set", "endpoint.eviction.gpu=lruu"], "did you mean 'lru'"),
    (["run", "quickstart", "--name", "../out"], "letters, digits"),
    (["run", "quickstart", "--seed", "x"], "--seed"),
    (["run", "thrash", "--set", "objective={}", "--check"], "no objective"),
    (["run", "azure-day"], "--set workload.trace=FILE"),
    (["run", *QUICK[1:], "--out", "broken.yaml"], "--out"),
    (["run", *QUICK[1:], "--out", "/proc/nowhere"], "--out"),
    (["run", *QUICK[1:], "--name", "mine", "--out", "."], "not a result of mmesim"),
    (["report", "broken.yaml"], "summary.json"),
    (["report", "damaged"], "cannot be read"),
    (["profile", "show", "resnet"], "did you mean"),
    (["catalog", "ml.g4dn.2xlrge"], "did you mean 'ml.g4dn.2xlarge'"),
    (["policies", "evicton"], "did you mean 'eviction'"),
    (["check-policy", "nothing.py:Policy"], "there is no file"),
    (["frobnicate"], "No such command"),
]


@pytest.mark.parametrize(("command", "told"), WRONG, ids=[" ".join(command) for command, _ in WRONG])
def test_wrong_input_is_told_and_leaves_nothing(command: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: broken\nmodels: [1, 2\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "summary.json").write_text("{")
    before = left_in(tmp_path)
    assert told in clean(mmesim(*command, cwd=tmp_path))
    assert left_in(tmp_path) == before
    assert left_in(tmp_path / "mine") == ["thesis.tex"]


# Runs ---------------------------------------------------------------------------------------------------------


def test_json_of_a_run_is_its_summary(tmp_path: Path) -> None:
    done = mmesim(*QUICK, "--json", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads((tmp_path / "reports/quickstart/summary.json").read_text())
    again = mmesim("report", "reports/quickstart", "--json", cwd=tmp_path)
    assert again.stdout == done.stdout


def test_check_exits_1_when_the_objective_is_missed(tmp_path: Path) -> None:
    strict = ("--set", "objective.p99_ms=200")
    assert mmesim(*QUICK, *strict, cwd=tmp_path).returncode == 0
    missed = mmesim(*QUICK, *strict, "--check", cwd=tmp_path)
    assert missed.returncode == 1
    assert "missed" in missed.stdout
    assert mmesim(*QUICK, "--set", "objective={error_rate: 100%}", "--check", cwd=tmp_path).returncode == 0


def test_the_old_result_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    assert mmesim(*QUICK, cwd=tmp_path).returncode == 0
    result = tmp_path / "reports" / "quickstart"
    old = (result / "summary.json").read_bytes()
    running = begun(*ENDLESS, "--name", "quickstart", cwd=tmp_path)
    wait_for(lambda: len(left_in(tmp_path / "reports")) == 2)
    assert (result / "summary.json").read_bytes() == old
    running.kill()
    running.wait()
    assert (result / "summary.json").read_bytes() == old
    assert mmesim(*QUICK, "--seed", "8", cwd=tmp_path).returncode == 0
    assert (result / "summary.json").read_bytes() != old


def test_ctrl_c_keeps_what_was_simulated(tmp_path: Path) -> None:
    running = begun(*ENDLESS, cwd=tmp_path)
    wait_for(lambda: any(path.stat().st_size for path in (tmp_path / "reports").glob("*/journal.jsonl.zst")))
    running.send_signal(signal.SIGINT)
    asked = time.monotonic()
    stdout, stderr = running.communicate(timeout=60)
    assert time.monotonic() - asked < 4.0, "about 1 s on an idle machine"
    assert (running.returncode, "Traceback" in stderr) == (130, False), stderr
    assert "stopped early" in stdout
    summary = json.loads((tmp_path / "reports/many-small/summary.json").read_text())
    assert summary["run"]["partial"] is True
    assert 0 < summary["run"]["ended_s"] < 100 * 86400
    assert summary["requests"]["invocations"] > 0
    assert left_in(tmp_path / "reports") == ["many-small"]


def test_sigterm_clears_away_what_was_begun(tmp_path: Path) -> None:
    running = begun(*ENDLESS, cwd=tmp_path)
    try:
        wait_for(lambda: left_in(tmp_path / "reports"))
        time.sleep(1.0)
        running.terminate()
        assert running.wait(timeout=60) == 143
    finally:
        running.kill()
    assert left_in(tmp_path / "reports") == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    told = clean(mmesim(*QUICK, cwd=tmp_path, preexec_fn=small_files_only))
    assert "File too large" in told
    assert left_in(tmp_path / "reports") == []


def test_our_own_mistake_is_told_as_ours(tmp_path: Path) -> None:
    code = ("import sys, mmesim.sim.engine as engine\n"
            "def check(self): raise AssertionError('bytes lost')\n"
            "engine.Engine.check = check\n"
            f"sys.argv = {['mmesim', *QUICK]!r}\nfrom mmesim.cli import main\nmain()")
    done = subprocess.run([PROGRAM[0], "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True,
                          check=False)
    assert done.returncode == 3
    assert "AssertionError: bytes lost" in done.stderr
    assert "This is a mistake in mmesim" in done.stderr
    assert done.stdout == ""
    assert left_in(tmp_path / "reports") == []


# A user's own policy ------------------------------------------------------------------------------------------

POLICIES = '''
from dataclasses import dataclass
from mmesim.core.policy import EvictionPolicy, PlacementPolicy, RoutingPolicy

@dataclass
class Raises(EvictionPolicy):
    """Raises."""
    def victims(self, candidates, need_bytes, now_ns):
        return [candidates[0].modle]

@dataclass
class NamesTwice(EvictionPolicy):
    """Names one candidate again and again."""
    def victims(self, candidates, need_bytes, now_ns):
        while True:
            yield candidates[0]

@dataclass
class Elsewhere(PlacementPolicy):
    """Names an instance that is not there."""
    def place(self, model, instances, now_ns):
        return 77

@dataclass
class RaisesCompiled(RoutingPolicy):
    """Raises in compiled code."""
    blind: bool = True
    def score(self, copy, now_ns):
        if now_ns > 60_000_000_000:
            raise ValueError("too late")
        return copy.outstanding
'''
MISTAKES = [("endpoint.eviction.gpu", "Raises", "AttributeError", "return [candidates[0].modle]"),
            ("endpoint.eviction.gpu", "NamesTwice", "not a candidate", ""),
            ("endpoint.placement", "Elsewhere", "instance 77", ""),
            ("endpoint.routing", "RaisesCompiled", "ValueError: too late", 'raise ValueError("too late")')]


@pytest.mark.parametrize(("setting", "policy", "told", "line"), MISTAKES, ids=[each[1] for each in MISTAKES])
def test_a_policys_mistake_is_its_authors(setting: str, policy: str, told: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "policies.py").write_text(POLICIES)
    (tmp_path / "mine.yaml").write_text(EVERYTHING)
    stderr = clean(mmesim("run", "mine.yaml", "--no-report", "--set", f"{setting}=policies:{policy}", cwd=tmp_path))
    assert told in stderr
    assert "`mmesim check-policy" in stderr
    if line:
        number = next(n for n, text in enumerate(POLICIES.splitlines(), 1) if line in text)
        assert f"{tmp_path}/policies.py" in stderr and f"line {number}: " in stderr
    assert left_in(tmp_path / "reports") == []


# On a terminal ------------------------------------------------------------------------------------------------


def test_the_progress_bar_is_for_terminals(tmp_path: Path) -> None:
    run = ("run", "many-small", "--set", "duration=30m", "--no-report")
    piped = mmesim(*run, cwd=tmp_path)
    assert "real time" not in piped.stderr and "\x1b" not in piped.stdout + piped.stderr
    assert "× real time" in on_a_terminal(*run, cwd=tmp_path)
    assert "× real time" not in on_a_terminal(*run, "--quiet", cwd=tmp_path)


def on_a_terminal(*arguments: str, cwd: Path) -> str:
    """What the command shows on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PROGRAM, *arguments], cwd=cwd, env=environment(TERM="xterm"), stdout=theirs,
                          stderr=theirs) as process:
        os.close(theirs)
        seen = bytearray()
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:  # the other end is closed
            pass
    assert process.returncode == 0, seen.decode()
    return seen.decode()


def wait_for(condition: object, timeout_s: float = 60.0) -> None:
    """Until the condition holds; fails after a while."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
