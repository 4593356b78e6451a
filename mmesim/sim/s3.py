"""S3 as the instances meet it: first-byte latency, connections, request rate of the prefix, bad days.

A download is a number of ranged GETs over parallel connections. One attempt: the request is answered after the first
byte's latency, by an error or by bytes; the bytes then come through the instance's network at most at the rate of the
connections. An attempt that fails is repeated after a pause that doubles, up to `s3_attempts`; bytes that have arrived
are kept, since each part is a request of its own.

503 Slow Down: the prefix answers `s3_prefix_rate` GET/s; a bucket holds one second's worth. An attempt that is answered
takes a token for each of its parts, into debt if need be; in debt every new attempt gets 503. The long-run rate is thus
kept, and what a single download may ask for is capped at rate times part size.

Source of the model: Amazon S3 User Guide, "Performance design patterns" (100-200 ms to the first byte, 85-90 MB/s a
connection, 5,500 GET/s a prefix, retries with exponential backoff).
"""

from __future__ import annotations

from collections.abc import Callable

import simpy

from mmesim.sim.draws import Draws
from mmesim.sim.hub import Hub, later
from mmesim.sim.link import Transfer
from mmesim.sim.network import Nic
from mmesim.units import NS_PER_S, ns


class Fetch:
    """One download under way."""

    __slots__ = ("attempts", "done", "failed", "missing_bytes", "model", "nic", "transfer")

    def __init__(self, model: int, size_bytes: int, nic: Nic, done: Callable[[], object],
                 failed: Callable[[str], object]) -> None:
        self.model = model
        self.missing_bytes = size_bytes
        self.nic = nic
        self.done = done
        self.failed = failed
        self.attempts = 0
        self.transfer: Transfer | None = None


class RequestBucket:
    """Requests per second that a prefix answers, with a second's worth in store; counted in 10^-9 requests."""

    def __init__(self, env: simpy.Environment, rate: float) -> None:
        self._env = env
        self._rate = rate
        self._at_ns = env.now
        self._tokens = ns(rate)

    def set_rate(self, rate: float) -> None:
        """Another rate from now on."""
        self._refill()
        self._rate = rate
        self._tokens = min(self._tokens, ns(rate))

    def take(self, requests: int) -> bool:
        """Take so many requests; False, and nothing taken, while in debt."""
        self._refill()
        if self._tokens <= 0:
            return False
        self._tokens -= requests * NS_PER_S
        return True

    def _refill(self) -> None:
        self._tokens = min(ns(self._rate), self._tokens + int(self._rate * (self._env.now - self._at_ns)))
        self._at_ns = self._env.now


class S3:
    """The bucket that all instances download from. `outages`, `slow` and `throttles` are set by faults."""

    def __init__(self, hub: Hub) -> None:
        self._env = hub.env
        self._table = hub.table
        self._storage = hub.build.scenario.endpoint.storage
        self._first_byte = Draws(hub, self._storage.s3_first_byte.distribution(), "s3 first byte")
        self._bucket = RequestBucket(hub.env, self._storage.s3_prefix_rate)
        self._nics: dict[Nic, None] = {}
        self._moving: dict[Fetch, None] = {}
        self._outages = 0
        self._slow: list[float] = []
        self._throttles: list[float] = []

    @property
    def download_bps(self) -> float:
        """What one download can get at most."""
        storage = self._storage
        return min(storage.s3_connections * storage.s3_connection_rate / self._slowness,
                   self._request_rate * storage.s3_part)

    def connect(self, nic: Nic) -> None:
        """An instance is there; its downloads follow the state of S3."""
        self._nics[nic] = None

    def disconnect(self, nic: Nic) -> None:
        """The instance is gone, and its downloads with it; nobody is told."""
        del self._nics[nic]
        nic.clear()
        for fetch in [fetch for fetch in self._moving if fetch.nic is nic]:
            del self._moving[fetch]

    def fetch(self, model: int, size_bytes: int, nic: Nic, done: Callable[[], object],
              failed: Callable[[str], object]) -> None:
        """Download so many bytes of a model; exactly one of `done()` and `failed(reason)` is called, or neither if the
        instance ends before."""
        self._attempt(Fetch(model, size_bytes, nic, done, failed))

    def begin_outage(self) -> None:
        """No request is answered with bytes; transfers under way break off."""
        self._outages += 1
        broken, self._moving = self._moving, {}
        for fetch in broken:
            assert fetch.transfer is not None
            fetch.missing_bytes = fetch.nic.cancel(fetch.transfer)
            self._failed(fetch, "S3 outage")

    def end_outage(self) -> None:
        """Requests are answered again."""
        self._outages -= 1

    def begin_slow(self, factor: float) -> None:
        """First bytes take `factor` times as long, connections get so much slower."""
        self._slow.append(factor)
        self._changed()

    def end_slow(self, factor: float) -> None:
        """This slowness is over."""
        self._slow.remove(factor)
        self._changed()

    def begin_throttle(self, rate: float) -> None:
        """The prefix answers at most `rate` GET/s."""
        self._throttles.append(rate)
        self._changed()

    def end_throttle(self, rate: float) -> None:
        """This throttling is over."""
        self._throttles.remove(rate)
        self._changed()

    @property
    def _slowness(self) -> float:
        return max(self._slow, default=1.0)

    @property
    def _request_rate(self) -> float:
        return min([self._storage.s3_prefix_rate, *self._throttles])

    def _changed(self) -> None:
        self._bucket.set_rate(self._request_rate)
        for nic in self._nics:
            nic.set_cap(self.download_bps)

    def _attempt(self, fetch: Fetch) -> None:
        fetch.attempts += 1
        delay_ns = ns(self._first_byte.next(fetch.model) * self._slowness)
        later(self._env, delay_ns, self._answered, fetch)

    def _answered(self, event: simpy.Event) -> None:
        fetch: Fetch = event.value
        if fetch.nic not in self._nics:  # the instance is gone
            return
        if not self._table.model.exists[fetch.model]:
            fetch.failed("the archive is not in the prefix")
        elif self._outages:
            self._failed(fetch, "S3 outage")
        elif not self._bucket.take(-(-fetch.missing_bytes // self._storage.s3_part)):
            self._failed(fetch, "503 Slow Down")
        else:
            self._moving[fetch] = None
            fetch.transfer = fetch.nic.start(fetch.missing_bytes, lambda: self._arrived(fetch))

    def _arrived(self, fetch: Fetch) -> None:
        del self._moving[fetch]
        fetch.done()

    def _failed(self, fetch: Fetch, reason: str) -> None:
        """An attempt failed: pause and try again, or give up."""
        if fetch.attempts >= self._storage.s3_attempts:
            fetch.failed(f"{reason}, after {fetch.attempts} attempts")
            return
        pause_ns = ns(self._storage.s3_retry_backoff) << (fetch.attempts - 1)
        later(self._env, pause_ns, self._again, fetch)

    def _again(self, event: simpy.Event) -> None:
        if event.value.nic in self._nics:
            self._attempt(event.value)
