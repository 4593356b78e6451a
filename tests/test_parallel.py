"""Work side by side: order, processes that die, addresses of clusters, clusters that are not there."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from mmesim.errors import InputError
from mmesim.parallel import Workers, finished, remote, side_by_side


def square(number: int) -> int:
    return number * number


def dying(folder: Path, always: bool, number: int) -> int:
    """Says that it began; number 5 ends its process, once or always."""
    path = folder / f"{number}-{len(list(folder.glob(f'{number}-*')))}"
    path.touch()
    if number == 5 and (always or path.name == "5-0"):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def runs(folder: Path) -> Counter[int]:
    """How often each number was begun."""
    return Counter(int(path.name.partition("-")[0]) for path in folder.iterdir())


def test_results_come_in_the_items_order_and_are_counted() -> None:
    seen: list[int] = []
    assert side_by_side(square, range(7), processes=2, done=seen.append) == [0, 1, 4, 9, 16, 25, 36]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert side_by_side(square, [], processes=2) == []


def test_a_process_that_dies_costs_only_what_was_not_finished(tmp_path: Path) -> None:
    found, then = {}, {}
    for number, result in finished(partial(dying, tmp_path, False), range(12), Workers(2)):
        found[number], then[number] = result, runs(tmp_path)[number]
    assert found == {number: number for number in range(12)}
    assert then == runs(tmp_path), "what was handed over does not run again"
    assert then[5] == 2 and max(then.values()) == 2 and min(then.values()) == 1


def test_a_process_that_dies_again_is_an_error_and_the_rest_is_there(tmp_path: Path) -> None:
    then = {}
    with pytest.raises(InputError, match="ended from outside, twice"):
        for number, _ in finished(partial(dying, tmp_path, True), range(8), Workers(2)):
            then[number] = runs(tmp_path)[number]
    assert then and 5 not in then and runs(tmp_path)[5] == 2
    assert then == {number: runs(tmp_path)[number] for number in then}


@pytest.mark.parametrize(("address", "is_dask"), [
    ("tcp://10.0.0.1:8786", True), ("tls://scheduler:8786", True), ("tcp://[::1]:8786", True),
    ("ray://head:10001", False), ("ray://auto", False), ("head:6379", False)])
def test_addresses_of_clusters(address: str, is_dask: bool) -> None:
    assert Workers(cluster=address).is_dask is is_dask


@pytest.mark.parametrize("address", ["", "scheduler", "tcp://scheduler", "http://head:80", "ray://", "head:x"])
def test_what_is_no_address_is_told_so(address: str) -> None:
    with pytest.raises(InputError, match="is no address of a cluster") as caught:
        Workers(cluster=address)
    assert caught.value.problems[0].file == f"--cluster {address}" and "Dask" in caught.value.problems[0].hint


@pytest.mark.parametrize("form", ["tcp://127.0.0.1:{}", "ray://127.0.0.1:{}", "127.0.0.1:{}"])
def test_nobody_listens(form: str) -> None:
    pytest.importorskip("distributed" if form.startswith("tcp") else "ray")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = form.format(probe.getsockname()[1])
    with pytest.raises(InputError, match="cannot connect"):
        list(finished(square, [1], Workers(cluster=address)))


def test_what_listens_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(remote, "CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(InputError, match="cannot connect"):
        list(finished(square, [1], Workers(cluster=f"tcp://127.0.0.1:{silent.getsockname()[1]}")))


@pytest.mark.parametrize(("module", "address"), [("distributed", "tcp://nowhere:1"), ("ray", "ray://nowhere:1")])
def test_a_client_that_is_not_installed(module: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match="not installed") as caught:
        list(finished(square, [1], Workers(cluster=address)))
    assert "pip install 'mmesim[cluster]'" in str(caught.value)


def test_work_travels_to_where_there_is_no_mmesim() -> None:
    """A scheduler without it can pass the work on; a worker without it says so."""
    cloudpickle = pytest.importorskip("cloudpickle")
    script = ("import sys, pickle; sys.modules['mmesim'] = None\n"
              f"task = pickle.loads({cloudpickle.dumps(remote.task())!r})\n"
              f"try:\n    task({pickle.dumps((len, 'item'))!r}, None)\n"
              "except ModuleNotFoundError as error:\n    print('told', error.name)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("told mmesim"), done.stderr
