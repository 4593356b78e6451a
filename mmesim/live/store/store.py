"""The store: brings models from a source into model repositories, for an asyncio program (`mmesim.live.ports.Store`).

Whatever blocks runs in threads of the store's own. A fetch that is cancelled is stopped and cleaned up before the
cancellation goes on; which model leaves the disk is the controller's decision, and is only carried out here.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mmesim.live.ports import Archive, Fetched, FetchFailed
from mmesim.live.store import layout
from mmesim.live.store.folder import FolderSource
from mmesim.live.store.job import Disk, Job, Replaced
from mmesim.live.store.names import Listing, refusal
from mmesim.live.store.s3 import MAX_CONNECTIONS, S3Source
from mmesim.live.store.settings import StoreSettings
from mmesim.live.store.shelf import Manifest, Shelf
from mmesim.live.store.source import Source, unpacked_bytes
from mmesim.live.store.unpack import Tree

T = TypeVar("T")


@dataclass(slots=True)
class Meters:
    """Counters since the store was opened."""

    fetched: int = 0
    failed: int = 0
    deleted: int = 0
    downloaded_bytes: int = 0
    """Also of fetches that failed, once they are over."""
    unpacked_bytes: int = 0
    retries: int = 0
    """Requests that failed and were tried again."""
    replaced: int = 0
    """Archives that changed while they were fetched, and were fetched again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A fetch that is under way."""

    model: str
    downloaded_bytes: int
    total_bytes: int


class ArchiveStore:
    """Models of one source; see `mmesim.live.ports.Store` for what is not said here."""

    def __init__(self, source: Source, settings: StoreSettings) -> None:
        self.settings = settings
        self.meters = Meters()
        self.listing = Listing()
        """The last one, with what was ignored and refused."""
        self._source = source
        self._jobs: set[Job] = set()
        self._shelves: dict[Path, Shelf] = {}
        self._lock = threading.Lock()
        self._expected: dict[str, tuple[str, int]] = {}
        """Model -> version, unpacked bytes."""
        self._pool = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="store")

    async def list(self) -> Mapping[str, Archive]:
        """The models that exist now."""
        job = Job("the listing")
        self.listing = await self._run(job, self._source.list, job)
        return self.listing.archives

    async def unpacked_bytes(self, archive: Archive) -> int:
        """By the archive's trailer, or by its size; asked once for each version."""
        version, expected_bytes = self._expected.get(archive.name, ("", 0))
        if version != archive.version:
            job = Job(archive.name)
            expected_bytes = await self._run(job, self._expect, archive, job)
            self._expected[archive.name] = (archive.version, expected_bytes)
        return expected_bytes

    async def fetch(self, archive: Archive, repository: Path, limit_bytes: int) -> Fetched:
        """Brings it into the repository, in place of an earlier version of it."""
        job = Job(archive.name, archive.size_bytes)
        try:
            fetched = await self._run(job, self._fetch, archive, repository, limit_bytes, job)
        except BaseException:
            self.meters.failed += 1
            raise
        finally:
            self.meters.downloaded_bytes += job.downloaded_bytes
            self.meters.retries += job.retries
        self.meters.fetched += 1
        self.meters.unpacked_bytes += fetched.disk_bytes
        return fetched

    async def delete(self, model: str, repository: Path) -> None:
        """Takes the model's folder away, unless somebody else put it there."""
        self.meters.deleted += await self._run(Job(model), self._delete, model, repository)

    async def held(self, repository: Path) -> Mapping[str, int]:
        """Whole models -> bytes of their files."""
        return {model: manifest.disk_bytes for model, manifest in (await self.manifests(repository)).items()}

    async def manifests(self, repository: Path) -> Mapping[str, Manifest]:
        """Whole models -> what is known of them, their version among it."""
        return await self._run(Job(), lambda: self._shelf(repository).held())

    async def strangers(self, repository: Path) -> Sequence[str]:
        """What somebody else put into the repository; it is never touched."""
        return await self._run(Job(), lambda: self._shelf(repository).strangers())

    def progress(self) -> Sequence[Progress]:
        """The fetches under way."""
        return [Progress(job.name, job.downloaded_bytes, job.total_bytes) for job in self._jobs if job.total_bytes]

    async def close(self) -> None:
        """Stops and cleans up what is under way; may wait for a silent S3 as long as `s3.read_timeout`."""
        for job in self._jobs:
            job.end()
        await asyncio.to_thread(self._pool.shutdown)
        self._source.close()
        for shelf in self._shelves.values():
            shelf.close()
        self._shelves.clear()

    async def _run(self, job: Job, call: Callable[..., T], *arguments: object) -> T:
        """The call's result, from a thread; cancelled, it has cleaned up when this returns."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(call, *arguments))
        self._jobs.add(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            job.end()
            await asyncio.wait([future])
            future.cancelled() or future.exception()
            raise
        finally:
            self._jobs.discard(job)

    def _expect(self, archive: Archive, job: Job) -> int:
        """What the archive will take. Of one that has just been replaced, a guess."""
        try:
            trailer = self._source.trailer(archive, job)
        except Replaced:
            trailer = b""
        return unpacked_bytes(archive.size_bytes, trailer, self.settings.unpack.expansion)

    def _shelf(self, repository: Path) -> Shelf:
        with self._lock:
            if repository not in self._shelves:
                self._shelves[repository] = Shelf(repository, fsync=self.settings.fsync)
            return self._shelves[repository]

    def _delete(self, model: str, repository: Path) -> bool:
        assert not refusal(model), f"{model!r} is no model's name"
        return self._shelf(repository).delete(model)

    def _fetch(self, archive: Archive, repository: Path, limit_bytes: int, job: Job) -> Fetched:
        assert not refusal(archive.name), f"{archive.name!r} is no model's name"
        try:
            for _ in range(self.settings.s3.attempts):
                try:
                    return self._attempt(archive, repository, limit_bytes, job)
                except Replaced:
                    self.meters.replaced += 1
                    job.anew()
                    archive = self._source.now(archive.name, job)
                    job.total_bytes = archive.size_bytes
            raise FetchFailed("is replaced again and again")
        except FetchFailed as error:
            raise type(error)(f"{archive.name}: {error}") from error
        except OSError as error:
            raise FetchFailed(f"{archive.name}: the disk: {error.strerror or error}") from error

    def _attempt(self, archive: Archive, repository: Path, limit_bytes: int, job: Job) -> Fetched:
        shelf = self._shelf(repository)
        with shelf.work() as work:
            tree = Tree(work / "tree", self.settings.unpack, limit_bytes, Disk(work, self.settings.min_free), job)
            tree.folder.mkdir()
            brought = self._source.bring(archive, work, tree, job)
            folder = layout.model_folder(tree.folder)
            layout.set_name(folder, archive.name)
            job.check()
            manifest = Manifest(archive.name, archive.version, archive.size_bytes, tree.size_bytes)
            shelf.publish(folder, manifest, work)
        return Fetched(tree.size_bytes, brought.downloaded_bytes, brought.unpack_ns)


def open_store(settings: StoreSettings) -> ArchiveStore:
    """The store of a source. Raises InputError without boto3."""
    if settings.source.startswith("s3://"):
        bucket, _, prefix = settings.source.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        return ArchiveStore(S3Source(bucket, prefix, settings.s3), settings)
    folder = Path(settings.source).expanduser().absolute()
    return ArchiveStore(FolderSource(folder, hard_links=settings.hard_links), settings)
