"""`mmesim what-if` as its users see it: fidelity before anything else, exit codes, files, and going on where it was."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from history_parts import recorded_run, scenario_file
from html_pages import Checked
from program import begun, mmesim

TWO_MINUTES = ("duration=2m", "warmup=20s", "seed=7")
FLAGS = ("--seeds", "2", "--set", "warmup=20s")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and a recorded run of it."""
    folder = tmp_path_factory.mktemp("place")
    recorded_run(scenario_file(folder), folder / "past", *TWO_MINUTES)
    return folder


def test_the_answer(place: Path) -> None:
    done = mmesim("what-if", "shop.yaml", "--past", "past", *FLAGS, "--change", "endpoint.eviction.gpu=gdsf",
                  "--change", "endpoint.instances=2; endpoint.eviction.gpu=gdsf", "--check", cwd=place)
    assert done.returncode == 0, done.stderr
    told = done.stdout
    order = ["recorded", "its answers may be trusted that far", "what if gdsf", "what if 2 instances, gdsf"]
    assert [told.index(text) for text in order] == sorted(told.index(text) for text in order), "fidelity comes first"
    assert "the first 20 s are a warm-up and not compared (as the scenario says)" in told
    folder = place / "reports" / "shop-what-if"
    document = json.loads((folder / "what-if.json").read_text())
    assert document["trusted"] is True and [change["name"] for change in document["changes"]] == [
        "gdsf", "2 instances, gdsf"]
    drawn = (folder / "report.html").read_text()
    page = Checked(drawn)
    assert not page.outside and page.images == 3
    (folder / "report.html").unlink()
    again = mmesim("report", str(folder), cwd=place)
    assert again.returncode == 0 and "what if gdsf" in again.stdout
    assert (folder / "report.html").read_text() == drawn


def test_it_goes_on_where_it_was(place: Path) -> None:
    """One change more runs that alone; another slice is another past."""
    command = ("what-if", "shop.yaml", "--past", "past", *FLAGS, "--name", "again", "--no-report")
    first = mmesim(*command, cwd=place)
    assert "stored already" not in first.stderr and first.returncode == 0
    more = mmesim(*command, "--change", "endpoint.eviction.gpu=gdsf", cwd=place)
    assert "2 of 4 runs were stored already" in more.stderr and more.stdout.startswith(first.stdout)
    assert "stored already" not in mmesim(*command, "--last", "1m", cwd=place).stderr


def test_a_killed_one_loses_only_what_was_under_way(place: Path) -> None:
    program = begun("what-if", "shop.yaml", "--past", "past", "--seeds", "6", "--processes", "1", "--name", "killed",
                    "--no-report", cwd=place)
    cells = place / "reports" / "killed" / ".cells"
    try:
        while len(list(cells.glob("*.npz"))) < 2 and program.poll() is None:
            time.sleep(0.05)
    finally:
        program.kill()
        program.wait()
    kept = len(list(cells.glob("*.npz")))
    done = mmesim("what-if", "shop.yaml", "--past", "past", "--seeds", "6", "--processes", "1", "--name", "killed",
                  "--no-report", cwd=place)
    assert done.returncode == 0 and kept >= 2 and f"{kept} of 6 runs were stored already" in done.stderr


def test_a_wrong_configuration_fails_the_check(place: Path) -> None:
    command = ("what-if", "shop.yaml", "--past", "past", *FLAGS, "--set", "endpoint.eviction.gpu=fifo", "--set",
               "models.0.load_time=4s", "--name", "wrong", "--json")
    done = mmesim(*command, "--check", cwd=place)
    assert done.returncode == 1 and json.loads(done.stdout)["trusted"] is False
    assert mmesim(*command, cwd=place).returncode == 0, "without --check it is only told"


def test_wrong_input_is_told(place: Path) -> None:
    for arguments, message in ((("--past", "nowhere"), "nowhere"), (("--past", "past", "--last", "1x"), "--last 1x"),
                               (("--past", "past", "--trust", "0%"), "not between"),
                               (("--past", "past", "--expand", "odd"), "no way to place"),
                               (("--past", "past", "--change", "seed=3"), "given by the past")):
        done = mmesim("what-if", "shop.yaml", *arguments, cwd=place)
        assert done.returncode == 2 and message in done.stderr, done.stderr
    (place / "reports" / "other").mkdir(parents=True, exist_ok=True)
    (place / "reports" / "other" / "mine.txt").write_text("keep")
    done = mmesim("what-if", "shop.yaml", "--past", "past", "--name", "other", cwd=place)
    assert done.returncode == 2 and "not a what-if" in done.stderr
