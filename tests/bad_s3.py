"""A TCP proxy before a real S3 server that spoils chosen answers: slow, cut off, reset, silent, 503, or altered.

It takes one request (GET or HEAD, without a body) per connection, so that each request is one decision of the plan.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Fault:
    """What happens to one answer."""

    after_bytes: int | None = None
    """So many bytes of the body come; None: all."""
    end: str = "close"
    """Then: ``close``, ``reset``, or ``silence`` until the client gives up."""
    rate_bps: float = 0
    """Bytes per second; 0: as fast as it goes."""
    status: int = 0
    """Instead of the answer, this status."""
    flip: int | None = None
    """This byte of the body is altered."""


FINE = Fault()
Plan = Callable[[int, str], Fault]
"""Of the request's number, from 0 on, and its first line."""


@dataclass
class BadS3:
    """The proxy's address, what it does, and what it was asked."""

    port: int
    plan: Plan = lambda number, line: FINE
    requests: list[str] = field(default_factory=list)
    """First lines, in order, with the range asked for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def bad_s3(upstream_port: int) -> Iterator[BadS3]:
    """A proxy before the server on that port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    proxy = BadS3(listener.getsockname()[1])
    over = threading.Event()
    threading.Thread(target=_accept, args=(listener, upstream_port, proxy, over), daemon=True).start()
    try:
        yield proxy
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, upstream_port: int, proxy: BadS3, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(OSError):
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, upstream_port, proxy, over), daemon=True).start()


def _serve(client: socket.socket, upstream_port: int, proxy: BadS3, over: threading.Event) -> None:
    with closing(client), suppress(OSError):
        head, _ = _read_head(client)
        if not head:
            return
        line = head.split(b"\r\n", 1)[0].decode()
        asked = [one.decode() for one in head.split(b"\r\n") if one.lower().startswith(b"range:")]
        number = len(proxy.requests)
        proxy.requests.append(" ".join((line, *asked)))
        fault = proxy.plan(number, line)
        if fault.status:
            client.sendall(b"HTTP/1.1 %d Bad\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
                fault.status, len(SLOW_DOWN), SLOW_DOWN))
            return
        with socket.create_connection(("127.0.0.1", upstream_port)) as upstream:
            upstream.sendall(head.replace(HEAD_END, b"\r\nConnection: close\r\n\r\n"))
            _relay(upstream, client, fault)
        _end(client, fault, over)


def _read_head(one: socket.socket) -> tuple[bytes, bytes]:
    """A head with its end mark, and what came after it."""
    content = b""
    while HEAD_END not in content:
        chunk = one.recv(65536)
        if not chunk:
            return b"", b""
        content += chunk
    head, _, rest = content.partition(HEAD_END)
    return head + HEAD_END, rest


def _relay(upstream: socket.socket, client: socket.socket, fault: Fault) -> None:
    head, chunk = _read_head(upstream)
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    client.sendall(b"\r\n".join([*lines, b"Connection: close"]) + HEAD_END)
    done, slice_bytes = 0, max(1, int(fault.rate_bps / 20)) if fault.rate_bps else 1 << 20
    while chunk := chunk or upstream.recv(65536):
        part, chunk = chunk[:slice_bytes], chunk[slice_bytes:]
        if fault.after_bytes is not None:
            part = part[:fault.after_bytes - done]
        client.sendall(_flipped(part, done, fault.flip))
        done += len(part)
        if fault.after_bytes is not None and done >= fault.after_bytes:
            return
        if fault.rate_bps:
            time.sleep(len(part) / fault.rate_bps)


def _flipped(part: bytes, start: int, at: int | None) -> bytes:
    if at is None or not start <= at < start + len(part):
        return part
    altered = bytearray(part)
    altered[at - start] ^= 0xFF
    return bytes(altered)


def _end(client: socket.socket, fault: Fault, over: threading.Event) -> None:
    if fault.end == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if fault.end == "silence":
        client.settimeout(0.1)
        while not over.is_set():
            with suppress(TimeoutError):
                if not client.recv(1):
                    return
