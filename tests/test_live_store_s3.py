"""The store on a real S3-compatible server, and behind a proxy that makes it slow, silent, cut off and contrary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

pytest.importorskip("boto3", reason="boto3 comes with the extra `live`")
pytest.importorskip("moto.server", reason="moto[server] comes with the extra `test`")

from bad_s3 import FINE, BadS3, Fault, bad_s3
from hostile_archives import file, packed
from s3_server import BUCKET, CREDENTIALS, S3Server, s3_server

from mmesim.live.ports import FetchFailed
from mmesim.live.store import ArchiveStore, S3Settings, StoreSettings, changes, open_store

LIMIT_BYTES = 32 << 20
WEIGHTS = np.random.default_rng(1).bytes(1_000_000)
ARCHIVE = packed(file("1/weights", WEIGHTS))
"""A megabyte that does not compress: 16 ranges of 64 KiB."""
QUICK = S3Settings(part_size="64KiB", connections=4, attempts=4, backoff="10ms", read_timeout="1s",
                   connect_timeout="1s", part_timeout="2s")
T = TypeVar("T")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bad(s3: S3Server) -> Iterator[BadS3]:
    """A proxy before the server, which holds one model."""
    s3.empty()
    s3.put({"p/m.tar.gz": ARCHIVE})
    with bad_s3(s3.port) as proxy:
        yield proxy


def with_store(url: str, use: Callable[[ArchiveStore], Awaitable[T]], prefix: str = "p", **settings: object) -> T:
    """What `use` makes of a store on that server."""

    async def run() -> T:
        quick = QUICK.model_copy(update={"endpoint_url": url, **settings})
        store = open_store(StoreSettings(source=f"s3://{BUCKET}/{prefix}", s3=quick, min_free="1MB", fsync=False))
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def fetch_all(repository: Path) -> Callable[[ArchiveStore], Awaitable[ArchiveStore]]:
    async def use(store: ArchiveStore) -> ArchiveStore:
        for archive in (await store.list()).values():
            await store.fetch(archive, repository, LIMIT_BYTES)
        return store

    return use


def nothing_left(repository: Path) -> bool:
    work = repository.parent / ".mmesim" / repository.name / "unfinished"
    return not list(repository.iterdir()) and not list(work.iterdir())


def is_get(line: str) -> bool:
    return line.startswith("GET") and "m.tar.gz" in line


def first_gets(count: int, fault: Fault) -> Callable[[int, str], Fault]:
    """The first so many fetches of a range meet the fault."""
    seen = iter(range(10_000))
    return lambda _, line: fault if is_get(line) and next(seen) < count else FINE


def test_a_prefix_of_several_pages_becomes_a_list_of_models(s3: S3Server) -> None:
    s3.empty()
    with ThreadPoolExecutor(4) as pool:
        clients = [s3.client() for _ in range(4)]
        list(pool.map(lambda index: clients[index % 4].put_object(Bucket=BUCKET, Key=f"many/model-{index:04}.tar.gz"),
                      range(1_050)))
    names = with_store(s3.url, lambda store: store.list(), "many/")
    assert list(names) == [f"model-{index:04}" for index in range(1_050)]


def test_what_is_no_model_is_counted_or_told(s3: S3Server) -> None:
    s3.empty()
    s3.put(dict.fromkeys(("p/a.tar.gz", "p/README", "p/b.tar", "p/", "p/sub/c.tar.gz", "p/.hidden.tar.gz",
                          "p/...tar.gz", "p/x y.tar.gz", "p/" + "l" * 300 + ".tar.gz", "other/d.tar.gz"), b""))

    async def use(store: ArchiveStore) -> ArchiveStore:
        await store.list()
        return store

    listing = with_store(s3.url, use).listing
    assert list(listing.archives) == ["a"]
    assert listing.ignored == 3
    assert {key[:9]: why.split()[0] for key, why in listing.refused.items()} == {
        "sub/c.tar": "lies", ".hidden.t": "could", "...tar.gz": "could", "x y.tar.g": "has", "lllllllll": "is"}


def test_a_model_comes_in_ranges_and_is_whole(bad: BadS3, tmp_path: Path) -> None:
    async def use(store: ArchiveStore) -> int:
        await fetch_all(tmp_path / "r")(store)
        archive = (await store.list())["m"]
        assert await store.held(tmp_path / "r") == {"m": store.meters.unpacked_bytes}
        return await store.unpacked_bytes(archive)

    expected = with_store(bad.url, use)
    assert (tmp_path / "r/m/1/weights").read_bytes() == WEIGHTS
    assert len({line for line in bad.requests if is_get(line)}) == -(-len(ARCHIVE) // (64 << 10)) + 1
    assert 0 <= expected - len(WEIGHTS) < 20_000


FAULTS = {"503": Fault(status=503), "500": Fault(status=500), "429": Fault(status=429),
          "reset": Fault(after_bytes=1000, end="reset"), "cut off": Fault(after_bytes=30_000),
          "nothing": Fault(after_bytes=0), "silence": Fault(after_bytes=1000, end="silence"),
          "trickle": Fault(rate_bps=2000)}


@pytest.mark.parametrize("what", FAULTS)
def test_what_passes_is_tried_again(what: str, bad: BadS3, tmp_path: Path) -> None:
    bad.plan = first_gets(3, FAULTS[what])
    store = with_store(bad.url, fetch_all(tmp_path / "r"))
    assert (tmp_path / "r/m/1/weights").read_bytes() == WEIGHTS
    assert store.meters.retries >= 3


def test_what_came_before_a_cut_is_kept(bad: BadS3, tmp_path: Path) -> None:
    bad.plan = first_gets(10_000, FAULTS["cut off"])
    store = with_store(bad.url, fetch_all(tmp_path / "r"))
    assert store.meters.downloaded_bytes == len(ARCHIVE), "no byte comes twice"


@pytest.mark.parametrize("what", sorted(FAULTS.keys() - {"cut off"}))
def test_what_does_not_pass_ends_in_time_and_leaves_nothing(what: str, bad: BadS3, tmp_path: Path) -> None:
    bad.plan = first_gets(10_000, FAULTS[what])
    start_s = time.monotonic()
    with pytest.raises(FetchFailed, match="m: S3 failed 4 times"):
        with_store(bad.url, fetch_all(tmp_path / "r"))
    assert time.monotonic() - start_s < 12
    assert nothing_left(tmp_path / "r")


def test_a_server_that_is_away_is_told(s3: S3Server) -> None:
    with bad_s3(s3.port) as gone:
        pass
    with pytest.raises(FetchFailed, match="Could not connect"):
        with_store(gone.url, lambda store: store.list())


def test_what_is_not_there_is_told_at_once(bad: BadS3, tmp_path: Path) -> None:
    async def use(store: ArchiveStore) -> None:
        archive = (await store.list())["m"]
        client = S3Server(bad.port).client()
        client.delete_object(Bucket=BUCKET, Key="p/m.tar.gz")
        await store.fetch(archive, tmp_path / "r", LIMIT_BYTES)

    with pytest.raises(FetchFailed, match=r"m: S3: .*(NoSuchKey|404)"):
        with_store(bad.url, use)
    assert nothing_left(tmp_path / "r")
    with pytest.raises(FetchFailed, match="NoSuchBucket"):
        asyncio.run(open_store(StoreSettings(source="s3://nowhere", s3={"endpoint_url": bad.url})).list())


def test_an_archive_replaced_half_way_is_fetched_again(bad: BadS3, s3: S3Server, tmp_path: Path) -> None:
    new = packed(file("1/weights", WEIGHTS[::-1]))

    def replace(number: int, line: str) -> Fault:
        if number == 8:
            s3.put({"p/m.tar.gz": new})
        return FINE

    bad.plan = replace
    before = with_store(s3.url, lambda store: store.list())
    store = with_store(bad.url, fetch_all(tmp_path / "r"))
    now = with_store(s3.url, lambda store: store.list())
    assert (tmp_path / "r/m/1/weights").read_bytes() == WEIGHTS[::-1]
    assert store.meters.replaced == 1
    assert with_store(s3.url, lambda store: store.manifests(tmp_path / "r"))["m"].version == now["m"].version
    assert changes(before, now).replaced == ("m",)


def test_bytes_that_gzip_does_not_check_are_checked_by_the_etag(bad: BadS3, tmp_path: Path) -> None:
    bad.plan = lambda _, line: Fault(flip=4) if is_get(line) and bad.requests[-1].endswith("bytes=0-65535") else FINE
    with pytest.raises(FetchFailed, match="its MD5 is not its ETag"):
        with_store(bad.url, fetch_all(tmp_path / "r"), connections=1)
    assert nothing_left(tmp_path / "r")


def test_an_archive_uploaded_in_parts_has_no_md5_and_comes(bad: BadS3, s3: S3Server, tmp_path: Path) -> None:
    client = s3.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="p/m.tar.gz")["UploadId"]
    which = {"Bucket": BUCKET, "Key": "p/m.tar.gz", "UploadId": upload}
    part = client.upload_part(**which, PartNumber=1, Body=ARCHIVE)
    client.complete_multipart_upload(**which, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    with_store(bad.url, fetch_all(tmp_path / "r"))
    assert (tmp_path / "r/m/1/weights").read_bytes() == WEIGHTS


def test_a_cancelled_fetch_leaves_nothing(bad: BadS3, tmp_path: Path) -> None:
    bad.plan = first_gets(10_000, Fault(rate_bps=50_000))

    async def use(store: ArchiveStore) -> None:
        fetch = asyncio.create_task(fetch_all(tmp_path / "r")(store))
        while not any(one.downloaded_bytes for one in store.progress()):
            await asyncio.sleep(0.01)
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        assert nothing_left(tmp_path / "r")
        assert not store.progress()

    with_store(bad.url, use)


def test_closing_stops_what_is_under_way(bad: BadS3, tmp_path: Path) -> None:
    bad.plan = first_gets(10_000, Fault(rate_bps=50_000))

    async def use(store: ArchiveStore) -> None:
        fetch = asyncio.create_task(fetch_all(tmp_path / "r")(store))
        while not any(one.downloaded_bytes for one in store.progress()):
            await asyncio.sleep(0.01)
        await store.close()
        with pytest.raises(FetchFailed, match="stopped"):
            await fetch

    start_s = time.monotonic()
    with_store(bad.url, use)
    assert time.monotonic() - start_s < 5
    assert nothing_left(tmp_path / "r")
