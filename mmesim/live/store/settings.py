"""What can be set of the store: where the archives are, how they are fetched, what is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mmesim.settings import Bytes, Count, Duration, Number, Settings, wrong

MIB = 1 << 20
Positive = Annotated[Count, Field(ge=1)]
SOURCE_HINT = "write s3://bucket/prefix or the path of a folder with *.tar.gz files or model folders"


class S3Settings(Settings):
    """How objects are fetched. Credentials come from where boto3 looks for them."""

    endpoint_url: str = ""
    """URL of an S3-compatible server; empty: as boto3 finds it (``AWS_ENDPOINT_URL_S3``), else Amazon's."""
    region: str = ""
    """Region of the bucket; empty: as boto3 finds it."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """Whether the bucket stands in the URL's path or in its host name."""
    connections: Annotated[Count, Field(ge=1, le=64)] = 8
    """Ranges of one archive that are fetched at the same time."""
    part_size: Annotated[Bytes, Field(ge=64 << 10)] = 8 * MIB
    """Bytes of one range, 64 KiB or more."""
    attempts: Positive = 5
    """How often one request is tried, and how often an archive that is replaced while it is fetched."""
    backoff: Duration = 0.2
    """Pause before the second attempt; it doubles with each further one."""
    max_backoff: Duration = 10.0
    """The longest pause between two attempts."""
    connect_timeout: Duration = 3.0
    """How long a connection may take to come about."""
    read_timeout: Duration = 10.0
    """How long a server may be silent in the middle of an answer."""
    part_timeout: Duration = 120.0
    """How long one attempt at one range may take in all, however busily it trickles."""
    verify_md5: bool = True
    """Compare the archive with its ETag where that is an MD5 (uploaded in one part, not encrypted with a KMS key)."""


class UnpackSettings(Settings):
    """What an archive may hold. The bytes it may unpack to are given with each fetch."""

    max_members: Positive = 20_000
    """Files and folders of one archive."""
    max_path: Positive = 512
    """Bytes of one path inside an archive."""
    max_depth: Positive = 32
    """Folders within folders."""
    expansion: Annotated[Number, Field(ge=1)] = 1.3
    """Unpacked bytes per archive byte, where the archive's trailer does not tell."""


class StoreSettings(Settings):
    """Where the models come from, and how they get to the disk."""

    source: str
    """``s3://bucket/prefix``, or a folder with ``*.tar.gz`` files and plain model folders."""
    s3: S3Settings = S3Settings()
    unpack: UnpackSettings = UnpackSettings()
    min_free: Bytes = 1 << 30
    """Bytes of the file system that a fetch leaves free, whatever the quota says."""
    fsync: bool = True
    """Wait until a model's files are on the disk before it counts as whole. Without it, a crash of the whole machine
    (not of this program) can leave a damaged model that counts as whole."""
    hard_links: bool = False
    """Link the files of plain model folders instead of copying them, where both are on one file system. Whoever then
    changes such a file in place changes it under the running server."""

    @field_validator("source")
    @classmethod
    def _has_a_place(cls, source: str) -> str:
        bucket = source.removeprefix("s3://").partition("/")[0]
        if not source or (source.startswith("s3://") and not bucket):
            raise wrong(f"{source!r} names no place", SOURCE_HINT)
        return source
