"""A real Dask scheduler with two workers, started in a folder that has none of the scenario's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cluster_parts as parts
import pytest

pytest.importorskip("distributed", reason="pip install 'mmesim[cluster]'")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dask")
    address = f"tcp://127.0.0.1:{parts.free_port()}"
    with parts.processes() as start:
        start(folder / "scheduler.log", parts.BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port",
              address.rpartition(":")[2], "--no-dashboard")
        for _ in range(2):  # in a process of its own, each started anew when it is killed
            start(folder / "worker.log", parts.BIN / "dask", "worker", address, "--nthreads", "1", "--no-dashboard",
                  "--local-directory", folder / "space")
        parts.wait_until(lambda: (folder / "scheduler.log").read_text().count("Register worker") == 2, "two workers")
        yield address


def test_the_numbers_are_those_of_this_machine(scheduler: str, tmp_path: Path) -> None:
    parts.same_numbers_as_here(tmp_path, scheduler)


def test_the_plan_is_that_of_this_machine(scheduler: str, tmp_path: Path) -> None:
    parts.same_plan_as_here(tmp_path, scheduler)


def test_a_killed_worker_costs_its_unfinished_run_only(scheduler: str, tmp_path: Path) -> None:
    parts.killed_worker_costs_its_run_only(tmp_path, scheduler)


def test_a_killed_command_goes_on_where_it_was(scheduler: str, tmp_path: Path) -> None:
    parts.killed_driver_goes_on(tmp_path, scheduler)


def test_a_wrong_policy_is_told_of_the_users_file(scheduler: str, tmp_path: Path) -> None:
    parts.wrong_policy_is_told_of_the_users_file(tmp_path, scheduler)
