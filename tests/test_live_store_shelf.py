"""A model repository on the disk: whole or not there, after a kill too; other people's folders; local sources."""

from __future__ import annotations

import asyncio
import random
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hostile_archives import GOOD, packed

from mmesim.live import ports
from mmesim.live.ports import FetchFailed
from mmesim.live.store import ArchiveStore, Changes, StoreSettings, changes, open_store

LIMIT_BYTES = 64 << 20
KILLS = 8
MODELS = {f"m{index}": {**GOOD, **{f"1/w{part}": bytes([index]) * 300_000 for part in range(6)}} for index in range(3)}
T = TypeVar("T")


def source_of(world: Path, models: Mapping[str, Mapping[str, bytes]] = MODELS) -> Path:
    source = world / "source"
    source.mkdir(exist_ok=True)
    for name, files in models.items():
        (source / f"{name}.tar.gz").write_bytes(packed(files=files))
    return source


def with_store(world: Path, use: Callable[[ArchiveStore], Awaitable[T]], **settings: Any) -> T:
    async def run() -> T:
        store = open_store(StoreSettings(source=str(world / "source"), min_free="1MB", **settings))
        _as_the_runtime_sees_it: ports.Store = store
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def fetching(repository: Path, *names: str) -> Callable[[ArchiveStore], Awaitable[Mapping[str, int]]]:
    """Fetches these models (all, if none is named); what is held then."""

    async def use(store: ArchiveStore) -> Mapping[str, int]:
        models = await store.list()
        await asyncio.gather(*(store.fetch(models[name], repository, LIMIT_BYTES) for name in names or models))
        return await store.held(repository)

    return use


def is_whole(folder: Path, files: Mapping[str, bytes]) -> bool:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name not in ("config.pbtxt", ".mmesim.json")} == {
        name: content for name, content in files.items() if name != "config.pbtxt"}


def test_fetched_models_are_held_by_the_next_store_too(tmp_path: Path) -> None:
    source_of(tmp_path)
    held = with_store(tmp_path, fetching(tmp_path / "r"))
    assert held == {name: sum(map(len, files.values())) for name, files in MODELS.items()}
    assert held == with_store(tmp_path, lambda store: store.held(tmp_path / "r"))
    assert all(is_whole(tmp_path / "r" / name, files) for name, files in MODELS.items())


def test_a_deleted_model_vanishes_and_a_missing_one_is_deleted_already(tmp_path: Path) -> None:
    source_of(tmp_path)

    async def use(store: ArchiveStore) -> None:
        await fetching(tmp_path / "r")(store)
        await store.delete("m0", tmp_path / "r")
        await store.delete("m0", tmp_path / "r")
        assert list(await store.held(tmp_path / "r")) == ["m1", "m2"]
        assert store.meters.deleted == 1

    with_store(tmp_path, use)
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["m1", "m2"]
    assert not list((tmp_path / ".mmesim/r/unfinished").iterdir())


def test_a_new_version_takes_the_place_of_the_old(tmp_path: Path) -> None:
    source_of(tmp_path)
    before = with_store(tmp_path, lambda store: store.list())
    with_store(tmp_path, fetching(tmp_path / "r"))
    source_of(tmp_path, {"m0": {**GOOD, "1/new": b"new"}})
    now = with_store(tmp_path, lambda store: store.list())
    assert changes(before, now) == Changes((), (), ("m0",))
    with_store(tmp_path, fetching(tmp_path / "r", "m0"))
    assert is_whole(tmp_path / "r/m0", {**GOOD, "1/new": b"new"})


def test_what_came_and_went_is_told(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    before = with_store(tmp_path, lambda store: store.list())
    (source / "m1.tar.gz").unlink()
    source_of(tmp_path, {"m9": GOOD})
    assert changes(before, with_store(tmp_path, lambda store: store.list())) == Changes(("m9",), ("m1",), ())


def test_somebody_elses_folder_is_told_and_never_touched(tmp_path: Path) -> None:
    source_of(tmp_path)
    (tmp_path / "r/m0").mkdir(parents=True)
    (tmp_path / "r/m0/config.pbtxt").write_text("mine")

    async def use(store: ArchiveStore) -> None:
        models = await store.list()
        with pytest.raises(FetchFailed, match="put there by somebody else"):
            await store.fetch(models["m0"], tmp_path / "r", LIMIT_BYTES)
        await store.delete("m0", tmp_path / "r")
        assert await store.held(tmp_path / "r") == {}
        assert list(await store.strangers(tmp_path / "r")) == ["m0"]

    with_store(tmp_path, use)
    assert (tmp_path / "r/m0/config.pbtxt").read_text() == "mine"
    assert not list((tmp_path / ".mmesim/r/unfinished").iterdir())


def test_one_process_has_a_repository(tmp_path: Path) -> None:
    source_of(tmp_path)

    async def use(store: ArchiveStore) -> None:
        await store.held(tmp_path / "r")
        second = open_store(store.settings)
        with pytest.raises(FetchFailed, match="in use by another"):
            await second.held(tmp_path / "r")
        await second.close()

    with_store(tmp_path, use)
    assert with_store(tmp_path, fetching(tmp_path / "r", "m0")).keys() == {"m0"}


def test_what_is_under_way_is_not_swept(tmp_path: Path) -> None:
    source_of(tmp_path)

    async def use(store: ArchiveStore) -> None:
        fetch = asyncio.ensure_future(fetching(tmp_path / "r")(store))
        while not fetch.done():
            await store.held(tmp_path / "r")
        assert (await fetch).keys() == MODELS.keys()

    with_store(tmp_path, use)


@pytest.mark.parametrize("hard_links", [False, True])
def test_plain_folders_are_copied_or_linked(hard_links: bool, tmp_path: Path) -> None:
    model = tmp_path / "source/plain"
    for name, content in MODELS["m1"].items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(content)
    with_store(tmp_path, fetching(tmp_path / "r"), hard_links=hard_links)
    assert is_whole(tmp_path / "r/plain", MODELS["m1"])
    assert (model / "1/w0").samefile(tmp_path / "r/plain/1/w0") == hard_links
    assert (model / "config.pbtxt").read_bytes() == GOOD["config.pbtxt"], "the name is changed in the copy alone"


def test_a_link_in_a_plain_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source/plain/1").mkdir(parents=True)
    (tmp_path / "source/plain/1/passwords").symlink_to("/etc/passwd")
    with pytest.raises(FetchFailed, match="is a link"):
        with_store(tmp_path, fetching(tmp_path / "r"))
    assert not list((tmp_path / "r").iterdir())


def test_a_source_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="source cannot be read"):
        with_store(tmp_path, lambda store: store.list())


def test_a_disk_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """The system itself refuses to write on, as it does when the disk is full."""
    source_of(tmp_path, {"m": {**GOOD, "1/weights": bytes(4_000_000)}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(FetchFailed, match="m: the disk: File too large"):
            with_store(tmp_path, fetching(tmp_path / "r"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "r").iterdir())
    assert not list((tmp_path / ".mmesim/r/unfinished").iterdir())


def test_a_small_file_system_fills_up_and_recovers(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        big = {**GOOD, "1/weights": bytes(6_000_000), "1/more": bytes(6_000_000)}
        source_of(tmp_path, {"big": big, **MODELS})
        with pytest.raises(FetchFailed, match=r"big: (disk full|the disk: No space left)"):
            with_store(tmp_path, fetching(small / "r", "big"))
        assert with_store(tmp_path, fetching(small / "r", "m0", "m1")).keys() == {"m0", "m1"}
    finally:
        subprocess.run(["umount", str(small)], check=True)


CHURN = """
import asyncio, sys
from pathlib import Path
from mmesim.live.store import StoreSettings, open_store

async def churn(world):
    store = open_store(StoreSettings(source=str(world / "source"), min_free="1MB", fsync=False))
    models = await store.list()
    await store.held(world / "r")
    print("ready", flush=True)
    while True:
        for one in models.values():
            await store.fetch(one, world / "r", 1 << 30)
        await store.delete("m1", world / "r")

asyncio.run(churn(Path(sys.argv[1])))
"""


def test_killed_at_any_moment_it_leaves_whole_models_and_nothing_else(tmp_path: Path) -> None:
    source_of(tmp_path)
    moments = random.Random(5)
    for _ in range(KILLS):
        _killed_after(moments.uniform(0, 0.3), tmp_path)
        seen = {path.name for path in (tmp_path / "r").iterdir()}
        assert all(is_whole(tmp_path / "r" / name, MODELS[name]) for name in seen)
        assert with_store(tmp_path, lambda store: store.held(tmp_path / "r")).keys() == seen
        assert not list((tmp_path / ".mmesim/r/unfinished").iterdir())


def _killed_after(wait_s: float, world: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", CHURN, str(world)], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        time.sleep(wait_s)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_settings_say_what_is_wrong() -> None:
    for source in ("", "s3://", "s3:///models"):
        with pytest.raises(ValueError, match="names no place"):
            StoreSettings(source=source)


def test_hidden_things_of_the_source_are_ignored(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"m": GOOD})
    (source / ".cache").mkdir()
    (source / "m").mkdir()
    (source / "notes.txt").write_text("x")

    async def use(store: ArchiveStore) -> tuple[list[str], int]:
        return list(await store.list()), store.listing.ignored

    assert with_store(tmp_path, use) == (["m"], 2)
