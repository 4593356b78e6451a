"""A gzip file as a stream that never gives more than it may, so that a bomb is met while it is read (RFC 1952).

zlib checks each member's CRC and length. Zero bytes after the last member are padding, anything else is damage.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

from mmesim.live.ports import FetchFailed
from mmesim.live.store.job import Job

CHUNK_BYTES = 256 << 10
GZIP_BITS = 31
"""zlib's `wbits` for: a gzip header, a gzip trailer."""


class Unzipped:
    """What is inside `file`; reading beyond `limit_bytes` raises FetchFailed, damage zlib.error or EOFError."""

    def __init__(self, file: BinaryIO, limit_bytes: int, job: Job) -> None:
        self._file = file
        self._left_bytes = limit_bytes
        self._job = job
        self._engine = zlib.decompressobj(GZIP_BITS)
        self._pending = b""
        """Read from the file and not yet given to the engine."""
        self._inside = True
        """Of a member, which must come to its end; a file without any member is damaged."""

    def read(self, size: int) -> bytes:
        """`size` bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0 and (part := self._some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        while data := self._pending or self._next_chunk():
            part = self._engine.decompress(data, most)
            self._inside = not self._engine.eof
            self._pending = self._engine.unconsumed_tail
            if self._engine.eof:
                self._pending = self._engine.unused_data.lstrip(b"\0")
                self._engine = zlib.decompressobj(GZIP_BITS)
            if part:
                return self._counted(part)
        if self._inside:
            raise EOFError("the gzip stream is cut off")
        return b""

    def _next_chunk(self) -> bytes:
        self._job.check()
        chunk = self._file.read(CHUNK_BYTES)
        while chunk and not self._inside and not (chunk := chunk.lstrip(b"\0")):
            chunk = self._file.read(CHUNK_BYTES)
        return chunk

    def _counted(self, part: bytes) -> bytes:
        self._left_bytes -= len(part)
        if self._left_bytes < 0:
            raise FetchFailed("unpacks to more than its limit")
        return part
