"""A real Ray cluster of two nodes with a worker each, started in a folder that has none of the scenario's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cluster_parts as parts
import pytest

pytest.importorskip("ray", reason="pip install 'mmesim[cluster]'")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses: the head's, and its client server's."""
    folder = tmp_path_factory.mktemp("ray")
    port, client_port = parts.free_port(), parts.free_port()
    usual = ("--block", "--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=100000000",
             "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats")
    with TemporaryDirectory(prefix="ray-") as space, parts.processes() as start:  # a short path, for sockets
        start(folder / "head.log", parts.BIN / "ray", "start", "--head", f"--port={port}", *usual,
              f"--ray-client-server-port={client_port}", f"--temp-dir={space}", "--include-dashboard=false")
        parts.wait_until(lambda: "Ray runtime started" in (folder / "head.log").read_text(), "the head")
        start(folder / "node.log", parts.BIN / "ray", "start", f"--address=127.0.0.1:{port}", *usual)
        parts.wait_until(lambda: "Ray runtime started" in (folder / "node.log").read_text(), "the second node")
        yield f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}"


def test_the_numbers_are_those_of_this_machine(head: tuple[str, str], tmp_path: Path) -> None:
    parts.same_numbers_as_here(tmp_path, head[1])


def test_a_killed_worker_costs_its_unfinished_run_only(head: tuple[str, str], tmp_path: Path) -> None:
    parts.killed_worker_costs_its_run_only(tmp_path, head[0])


def test_a_killed_command_goes_on_where_it_was(head: tuple[str, str], tmp_path: Path) -> None:
    parts.killed_driver_goes_on(tmp_path, head[0])


def test_a_wrong_policy_is_told_of_the_users_file(head: tuple[str, str], tmp_path: Path) -> None:
    parts.wrong_policy_is_told_of_the_users_file(tmp_path, head[1])
