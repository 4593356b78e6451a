"""An S3 prefix as a source (boto3, any S3-compatible server).

Every request is tried again, with pauses that double, after what passes: no connection, a reset, silence, an answer cut
off, 429 and 5xx (503 SlowDown is S3's way to ask for less). What does not pass (403, 404) fails at once. boto3's own
repetition is off: it knows nothing of half a range.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmesim.errors import InputError, Problem
from mmesim.live.ports import Archive, FetchFailed
from mmesim.live.store.job import Job, Replaced
from mmesim.live.store.names import SUFFIX, Listing, listing
from mmesim.live.store.settings import S3Settings
from mmesim.live.store.source import TRAILER_BYTES, Brought
from mmesim.live.store.unpack import Tree, unpack

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MAX_CONNECTIONS = 64
READ_BYTES = 256 << 10
TOO_MANY = 429
SERVER_FAULT = 500
GONE_ON = ("PreconditionFailed", "InvalidRange", "412", "416")
"""The object is not the one that was listed (If-Match), or is shorter now."""
PASSING = ("RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded",
           "OperationAborted", "ConditionalRequestConflict")
_MD5 = re.compile(r"[0-9a-f]{32}")
T = TypeVar("T")


class S3Source:
    """The models below one prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.settings = settings
        self._client = _client(settings)

    def list(self, job: Job) -> Listing:
        """All pages of the prefix."""
        entries: list[tuple[str, int, str]] = []
        token: dict[str, str] = {}
        while True:
            page = self._persistently(job, self._page, token)
            entries += [(one["Key"].removeprefix(self.prefix), one["Size"], one["ETag"].strip('"'))
                        for one in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return listing(entries)
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _page(self, token: dict[str, str]) -> dict[str, Any]:
        page: dict[str, Any] = self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, **token)
        return page

    def trailer(self, archive: Archive, job: Job) -> bytes:
        """The last bytes of the object, by a range."""
        if archive.size_bytes < TRAILER_BYTES:
            return b""
        return self._persistently(job, self._tail, archive)

    def _tail(self, archive: Archive) -> bytes:
        first = archive.size_bytes - TRAILER_BYTES
        with closing(self._get(archive, first, TRAILER_BYTES)["Body"]) as body:
            content: bytes = body.read()
            return content

    def now(self, name: str, job: Job) -> Archive:
        """As a HEAD tells."""
        head = self._persistently(job, self._head, name)
        return Archive(name, head["ContentLength"], head["ETag"].strip('"'))

    def _head(self, name: str) -> dict[str, Any]:
        head: dict[str, Any] = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
        return head

    def bring(self, archive: Archive, work: Path, tree: Tree, job: Job) -> Brought:
        """Fetches its ranges side by side into a temporary file, then unpacks that; its MD5 is taken meanwhile."""
        path = work / "archive"
        tree.disk.need(archive.size_bytes)
        is_md5 = self._fetch(archive, path, job) and self.settings.verify_md5 and _MD5.fullmatch(archive.version)
        start_ns = time.monotonic_ns()
        with path.open("rb") as file, ThreadPoolExecutor(1) as pool, job.together():
            digest = pool.submit(_md5, path, job) if is_md5 else None
            unpack(file, tree)
        if digest and digest.result() != archive.version:
            raise FetchFailed("damaged archive: its MD5 is not its ETag")
        path.unlink()
        return Brought(archive.size_bytes, time.monotonic_ns() - start_ns)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _key(self, name: str) -> str:
        return f"{self.prefix}{name}{SUFFIX}"

    def _fetch(self, archive: Archive, path: Path, job: Job) -> bool:
        """All of the object into a new file; whether its ETag may be its MD5."""
        step = self.settings.part_size
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if archive.size_bytes:
                os.posix_fallocate(descriptor, 0, archive.size_bytes)
            parts = [_Part(self, archive, descriptor, first, min(step, archive.size_bytes - first), job)
                     for first in range(0, archive.size_bytes, step)]
            return all(_side_by_side([part.fetch for part in parts], self.settings.connections, job))
        finally:
            os.close(descriptor)

    def _get(self, archive: Archive, first: int, count: int) -> dict[str, Any]:
        """The answer for a range of this very version."""
        answer: dict[str, Any] = self._client.get_object(
            Bucket=self.bucket, Key=self._key(archive.name), IfMatch=f'"{archive.version}"',
            Range=f"bytes={first}-{first + count - 1}")
        if answer["ETag"].strip('"') != archive.version:
            answer["Body"].close()
            raise Replaced
        if answer["ContentLength"] != count:
            answer["Body"].close()
            raise FetchFailed(f"the server gave {answer['ContentLength']} bytes for a range of {count}")
        return answer

    def _persistently(self, job: Job, call: Callable[..., T], *arguments: Any, spread: int = 0) -> T:
        """The call's result, after several attempts if need be. `spread` tells those apart that fail together: their
        pauses differ by up to half."""
        pause_s = self.settings.backoff * (1 + spread % 8 / 16)
        for attempt in range(1, self.settings.attempts + 1):
            job.check()
            try:
                with _judged():
                    return call(*arguments)
            except Passing as error:
                if attempt == self.settings.attempts:
                    raise FetchFailed(f"S3 failed {attempt} times, at last with: {error}") from error
            job.tried_again()
            job.wait(min(pause_s, self.settings.max_backoff))
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")


class _Part:
    """One range of an archive; what has come of it is kept when an attempt fails."""

    def __init__(self, source: S3Source, archive: Archive, descriptor: int, first: int, count: int, job: Job) -> None:
        self.source, self.archive, self.descriptor, self.job = source, archive, descriptor, job
        self.first, self.left = first, count

    def fetch(self) -> bool:
        """Until the range is there; whether the ETag may be an MD5 (not so under a KMS or a customer's key)."""
        step = self.source.settings.part_size
        return self.source._persistently(self.job, self._attempt, spread=self.first // step)

    def _attempt(self) -> bool:
        until_s = time.monotonic() + self.source.settings.part_timeout
        answer = self.source._get(self.archive, self.first, self.left)
        with closing(answer["Body"]) as body:
            read = _reader(body)
            while self.left:
                self.job.check()
                chunk = read(min(READ_BYTES, self.left))
                if not chunk:
                    raise Passing("the answer was cut off")
                if time.monotonic() > until_s:
                    raise Passing(f"a range took longer than {self.source.settings.part_timeout:g} s")
                self._keep(chunk)
        return not (answer.get("ServerSideEncryption", "AES256") != "AES256" or answer.get("SSECustomerAlgorithm"))

    def _keep(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            count = os.pwrite(self.descriptor, view, self.first)
            view = view[count:]
            self.first += count
            self.left -= count
        self.job.got(len(chunk))


def _reader(body: Any) -> Callable[[int], bytes]:
    """Reads what is there, at most so much. The body's own `read` waits for all of it, which a trickle can draw out
    for hours; below it, urllib3 has `read1` from 2.1 on."""
    read: Callable[[int], bytes] = getattr(getattr(body, "_raw_stream", body), "read1", body.read)
    return read


class Passing(Exception):
    """A fault that another attempt may not meet."""


@contextmanager
def _judged() -> Iterator[None]:
    """boto3's many exceptions become Passing, Replaced or FetchFailed."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
    )
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _judgement(error) from error
    except (HTTPClientError, IncompleteReadError, ResponseStreamingError, HTTPError, ConnectionError,
            TimeoutError) as error:
        raise Passing(str(error) or type(error).__name__) from error
    except BotoCoreError as error:
        raise FetchFailed(f"S3: {error}") from error


def _judgement(error: ClientError) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in GONE_ON:
        return Replaced()
    if code in PASSING or status == TOO_MANY or status >= SERVER_FAULT:
        return Passing(str(error))
    return FetchFailed(f"S3: {error}")


def _side_by_side(calls: Sequence[Callable[[], T]], width: int, job: Job) -> Sequence[T]:
    """The calls' results; the first failure stops them all, and is the one that is raised."""
    with ThreadPoolExecutor(max(1, min(width, len(calls))), thread_name_prefix="s3") as pool, job.together():
        futures = [pool.submit(call) for call in calls]
        done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        for future in waiting:
            future.cancel()
        for future in done:
            future.result()
        return [future.result() for future in futures]


def _md5(path: Path, job: Job) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(READ_BYTES):
            job.check()
            digest.update(chunk)
    return digest.hexdigest()


def _client(settings: S3Settings) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise InputError(Problem("boto3 is not installed", hint="pip install 'mmesim[live]'")) from None
    config = Config(connect_timeout=settings.connect_timeout, read_timeout=settings.read_timeout,
                    retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=MAX_CONNECTIONS,
                    s3={"addressing_style": settings.addressing}, tcp_keepalive=True)
    try:
        return boto3.session.Session().client("s3", region_name=settings.region or None, config=config,
                                              endpoint_url=settings.endpoint_url or None)
    except (BotoCoreError, ValueError) as error:
        raise InputError(Problem(f"boto3 cannot speak to S3: {error}", hint="see endpoint_url and region")) from error
