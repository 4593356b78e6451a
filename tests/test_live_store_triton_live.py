"""A fetched model under a real Triton: it is loaded by the name of its archive, and nothing else is in the index."""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
import time
from pathlib import Path

import pytest

from mmesim.errors import InputError
from mmesim.live.store import StoreSettings, open_store
from mmesim.triton.example import sleeping, write_example
from mmesim.triton.server import running_server
from mmesim.triton.tools import find_server


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return find_server()
    except InputError as error:
        if os.environ.get("MMESIM_REQUIRE_TRITON"):
            pytest.fail(str(error))
        pytest.skip(f"no Triton server: {error.problems[0].message}")


def test_a_model_uploaded_under_another_name_is_loaded_and_nothing_else_is_seen(program: Path, tmp_path: Path) -> None:
    example = write_example(tmp_path / "example", {"original": sleeping(1, 1, load_ms=10)})
    (tmp_path / "source").mkdir()
    with tarfile.open(tmp_path / "source/tenant-7.v2.tar.gz", "w:gz") as archive:
        archive.add(example / "original", "original")
    repository = tmp_path / "repository"

    async def fetch() -> None:
        store = open_store(StoreSettings(source=str(tmp_path / "source"), min_free="1MB"))
        await store.fetch((await store.list())["tenant-7.v2"], repository, 1 << 30)
        await store.close()

    repository.mkdir()
    with running_server(program, repository, mark=f"store-{time.time_ns()}", log=tmp_path / "log") as server:
        client = server.client()
        asyncio.run(fetch())
        client.call("POST", "/v2/repository/models/tenant-7.v2/load", b"{}")
        index = json.loads(client.call("POST", "/v2/repository/index", b"{}"))
        client.close()
    assert [(one["name"], one.get("state")) for one in index] == [("tenant-7.v2", "READY")]
