"""Unpacking: what a hostile archive cannot do, what damage cannot leave behind, and what becomes of good archives."""

from __future__ import annotations

import asyncio
import gzip
import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hostile_archives import CONFIG, GOOD, Hostile, file, hostile, packed, tar
from hypothesis import given, settings
from hypothesis import strategies as st

from mmesim.live.ports import Fetched, FetchFailed
from mmesim.live.store import StoreSettings, UnpackSettings, open_store
from mmesim.live.store.layout import renamed
from mmesim.live.store.source import unpacked_bytes

LIMIT_BYTES = 8 << 20
UNPACK = UnpackSettings(max_members=200)
CORPUS = hostile()


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Everything below: files with their content, the rest with its kind."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else str(path.lstat().st_mode)
            for path in sorted(folder.rglob("*"))}


def fetch(world: Path, content: bytes, limit_bytes: int = LIMIT_BYTES, name: str = "m") -> Fetched:
    """Brings this archive into `world`/repository."""

    async def run() -> Fetched:
        store = open_store(StoreSettings(source=str(world / "source"), unpack=UNPACK, min_free="1MB", fsync=False))
        try:
            models = await store.list()
            return await store.fetch(models[name], world / "repository", limit_bytes)
        finally:
            await store.close()

    (world / "source").mkdir(exist_ok=True)
    (world / "source" / f"{name}.tar.gz").write_bytes(content)
    return asyncio.run(run())


def ready(world: Path) -> dict[str, bytes | str]:
    """A world in which one model has been fetched and nothing is under way; what is in it apart from the source."""
    fetch(world, packed(), name="before")
    (world / "source" / "before.tar.gz").unlink()
    return _but_source(world)


def _but_source(world: Path) -> dict[str, bytes | str]:
    return {path: what for path, what in snapshot(world).items() if not path.startswith("source")}


def test_the_corpus_is_large_and_its_names_are_different() -> None:
    assert len({one.name for one in CORPUS}) == len(CORPUS) >= 20


@pytest.mark.parametrize("one", CORPUS, ids=lambda one: one.name)
def test_a_hostile_archive_is_refused_and_leaves_nothing(one: Hostile, tmp_path: Path) -> None:
    before = ready(tmp_path)
    with pytest.raises(FetchFailed, match=one.reason):
        fetch(tmp_path, one.content)
    assert _but_source(tmp_path) == before
    assert not Path("/escaped").exists()
    assert not (tmp_path.parent / "escaped").exists()


def test_a_good_archive_comes_whole(tmp_path: Path) -> None:
    fetched = fetch(tmp_path, packed(file("1/sub", kind=tarfile.DIRTYPE), file("1/sub/weights", b"w" * 3_000_000)))
    found = snapshot(tmp_path / "repository" / "m")
    assert found["config.pbtxt"] == b'name: "m"\nbackend: "python"\n'
    assert found["1/sub/weights"] == b"w" * 3_000_000
    assert fetched.disk_bytes == 3_000_000 + sum(map(len, GOOD.values()))
    assert fetched.extract_ns > 0


ONLY_VERSION = {"1/model.onnx": b"onnx"}


@pytest.mark.parametrize(("top", "files"), [("2024/", GOOD), *(
    (top, files) for top in ("", "./", "top/", "./top/") for files in (GOOD, ONLY_VERSION))])
def test_the_model_is_at_the_root_or_in_the_only_folder(top: str, files: Mapping[str, bytes], tmp_path: Path) -> None:
    fetch(tmp_path, packed(files={f"{top}{name}": content for name, content in files.items()}))
    assert files.keys() <= snapshot(tmp_path / "repository" / "m").keys()


def test_what_a_mac_adds_does_not_hide_the_model(tmp_path: Path) -> None:
    fetch(tmp_path, packed(file("._top"), file(".DS_Store"), files={"top/config.pbtxt": CONFIG}))
    assert (tmp_path / "repository/m/config.pbtxt").is_file()


def test_modes_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    fetch(tmp_path, packed(file("1/run", mode=0o6777), file("1/secret", mode=0o000), file("1/open", mode=0o666)))
    folder = tmp_path / "repository/m/1"
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("run", "secret", "open")}
    umask = os.umask(0)
    os.umask(umask)
    assert modes == {"run": 0o755 & ~umask, "secret": 0o644 & ~umask, "open": 0o644 & ~umask}


def test_several_gzip_members_and_padding_are_one_archive(tmp_path: Path) -> None:
    content = tar([file(*one) for one in GOOD.items()])
    fetch(tmp_path, gzip.compress(content[:700]) + bytes(100) + gzip.compress(content[700:]) + bytes(5000))
    assert GOOD.keys() <= snapshot(tmp_path / "repository" / "m").keys()


def test_the_limit_is_exact(tmp_path: Path) -> None:
    exact = sum(map(len, GOOD.values()))
    with pytest.raises(FetchFailed, match="limit"):
        fetch(tmp_path, packed(), exact - 1)
    assert fetch(tmp_path, packed(), exact).disk_bytes == exact


def test_an_archive_cannot_bring_its_own_manifest(tmp_path: Path) -> None:
    fetch(tmp_path, packed(file(".mmesim.json", b'{"model": "other"}')))
    assert b'"model": "m"' in (tmp_path / "repository/m/.mmesim.json").read_bytes()


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(StoreSettings(source=str(tmp_path / "source"), min_free="1000TB"))
        try:
            await store.fetch((await store.list())["m"], tmp_path / "repository", LIMIT_BYTES)
        finally:
            await store.close()

    (tmp_path / "source").mkdir()
    (tmp_path / "source/m.tar.gz").write_bytes(packed())
    with pytest.raises(FetchFailed, match=r"m: disk full: .* kept in reserve"):
        asyncio.run(run())
    assert not list((tmp_path / "repository").iterdir())


BASE = packed(file("1/weights", bytes(range(256)) * 40))


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(1, 255)), max_size=4),
       cut=st.one_of(st.none(), st.integers(0, len(BASE) - 1)))
def test_a_damaged_gzip_is_refused_or_whole(tmp_path_factory: pytest.TempPathFactory,
                                             flips: list[tuple[int, int]], cut: int | None) -> None:
    content = bytearray(BASE)
    for at, mask in flips:
        content[at] ^= mask
    _refused_or_whole(tmp_path_factory.mktemp("damaged"), bytes(content[:cut]), expect_equal=True)


PLAIN = tar([file(*one) for one in GOOD.items()] + [file("1/weights", bytes(range(256)) * 4, pax={"comment": "c"})])


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(1, 255)), max_size=4),
       cut=st.one_of(st.none(), st.integers(0, len(PLAIN) - 1)), mend=st.booleans())
def test_a_damaged_tar_is_refused_or_whole(tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]],
                                            cut: int | None, mend: bool) -> None:
    """Damage below an intact gzip: file contents may be other, but never anything outside or left behind."""
    content = bytearray(PLAIN)
    for at, mask in flips:
        content[at] ^= mask
    if mend:
        _mend_checksums(content)
    _refused_or_whole(tmp_path_factory.mktemp("damaged"), gzip.compress(bytes(content[:cut]), 1), expect_equal=False)


def _mend_checksums(content: bytearray) -> None:
    """Every block that looks like a header gets the right checksum, so that the damage goes deeper."""
    for start in range(0, len(content), 512):
        block = content[start:start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            content[start + 148:start + 156] = f"{sum(block):06o}\0 ".encode()


def _refused_or_whole(world: Path, content: bytes, *, expect_equal: bool) -> None:
    (world / "beside").write_bytes(b"untouched")
    try:
        fetch(world, content)
    except FetchFailed:
        assert not list((world / "repository").iterdir())
    else:
        found = snapshot(world / "repository" / "m")
        assert ".mmesim.json" in found
        if expect_equal:
            assert found["1/weights"] == bytes(range(256)) * 40
            assert found["1/model.py"] == GOOD["1/model.py"]
    assert not list((world / ".mmesim/repository/unfinished").iterdir())
    assert {path.name for path in world.iterdir()} == {"beside", "source", "repository", ".mmesim"}


@pytest.mark.parametrize(("config", "expected"), [
    ('name: "a"', 'name: "m"'),
    ("name:'a'\n", 'name:"m"\n'),
    ('input [{ name: "x" }]\nname: "a" "b"\nbackend: "c"', 'input [{ name: "x" }]\nname: "m"\nbackend: "c"'),
    ('# name: "a"\nbackend: "name: \\"x\\""', '# name: "a"\nbackend: "name: \\"x\\""'),
    ('name : # why\n "a{" # name: "b"\ninput { name: "i" }', 'name : # why\n "m" # name: "b"\ninput { name: "i" }'),
    ('input <name: "i" dims: [1]> name: "a"', 'input <name: "i" dims: [1]> name: "m"'),
    ("max_batch_size: 8", "max_batch_size: 8"),
    ('rename: "x"', 'rename: "x"')])
def test_only_the_name_at_the_top_is_changed(config: str, expected: str) -> None:
    assert renamed(config, "m") == expected


def test_the_trailer_tells_where_it_can() -> None:
    content = tar([file("1/weights", b"w" * 100_000)])
    archive = gzip.compress(content)
    assert unpacked_bytes(len(archive), archive[-4:], 1.5) == len(content)
    assert unpacked_bytes(1000, b"", 1.5) == 1500
    assert unpacked_bytes(1000, (513).to_bytes(4, "little"), 1.5) == 1500, "no tar is that long"
    assert unpacked_bytes(1000, (512 << 20).to_bytes(4, "little"), 1.5) == 1500, "no gzip expands that much"
    assert unpacked_bytes(3 << 30, (512).to_bytes(4, "little"), 1.5) == (4 << 30) + 512, "beyond four GiB"
