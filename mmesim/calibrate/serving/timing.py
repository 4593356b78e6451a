"""What a fit has to find of one model behind a Triton server, besides its S(b): few numbers, each with a meaning.

S(b) of points with one request in flight is not what a loaded server does. Measured points of loaded servers show, and
this model has:

* host work of each batch (`launch_s`) and of each request in it (`copy_s`: its tensors are gathered from the request
  and copied), during which the device is free for the other instances' batches;
* a `gap_s` in S(b) itself in which the device idles (launches), so that two instances overlap: a batch of b requests
  wants the share (S(b) - gap) / S(b) of the device;
* `interference_k`: n batches on one device run at 1 / (1 + k (n - 1)) of the speed that plain sharing would give them;
* a front end of `frontend_threads` threads, each busy for `frontend_s` with a request: requests that return together
  arrive one after the other;
* `network_s`: constant;
* batches formed ahead (`prefetched_batches`): they make batches smaller and queues longer than a batcher that waits for
  a free instance would;
* `excess`: the part of the growth of S(b) that was the client's or the network's, where S(b) is known as a whole
  latency only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.serving.curve import BatchCurve
from mmesim.dataplane.api import ONE_Q16, ServiceSpec
from mmesim.profile.model import LEAST_BUSY
from mmesim.units import ns


@dataclass(frozen=True, slots=True)
class Setting:
    """How the server is configured and what one request holds."""

    items: int
    """Items in one request."""
    instance_count: int
    max_batch_size: int
    """Largest sum of items of one batch."""
    preferred_batch_sizes: tuple[int, ...] = ()

    @property
    def max_requests(self) -> int:
        """Requests in the largest batch."""
        return max(1, self.max_batch_size // self.items)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; see the module."""

    launch_s: float
    copy_s: float
    gap_s: float
    interference_k: float
    frontend_s: float
    network_s: float
    excess: float = 0.0
    frontend_threads: int = 1
    prefetched_batches: int = 0

    def batch_s(self, curve: BatchCurve, setting: Setting) -> NDArray[np.float64]:
        """Seconds of a batch of 0..max_requests requests under load, alone on the device; index 0 is 0."""
        requests = np.arange(1, setting.max_requests + 1)
        return np.append(0.0, self.loaded_s(curve, requests * setting.items, setting.items))

    def loaded_s(self, curve: BatchCurve, sizes: NDArray[np.int64], items: int) -> NDArray[np.float64]:
        """Seconds of batches of `sizes` items under load, made of requests of `items`."""
        one_s = curve.seconds([items])[0]
        plain_s = one_s + (curve.seconds(sizes) - one_s) * (1 - self.excess)
        return plain_s + self.launch_s + self.copy_s * sizes / items

    def shares(self, batch_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the device that a batch of 0..max_requests requests wants, in (0, 1]."""
        requests = np.arange(len(batch_s))
        idle_s = self.gap_s + self.launch_s + self.copy_s * requests
        return np.clip(1 - idle_s / np.maximum(batch_s, 1e-12), LEAST_BUSY, 1.0)

    def service(self, curve: BatchCurve, setting: Setting) -> ServiceSpec:
        """What the data plane needs; its unit of items is one request."""
        batch_s = self.batch_s(curve, setting)
        batch_s = np.append(batch_s, batch_s[-1])
        return ServiceSpec(
            service_ns=np.maximum(1, np.rint(batch_s * 1e9)).astype(np.int64),
            share_q16=np.rint(self.shares(batch_s) * ONE_Q16).astype(np.int64),
            frontend_ns=ns(self.frontend_s), overhead_ns=max(1, ns(self.network_s)), max_batch=setting.max_requests,
            instance_count=setting.instance_count, prefetched_batches=self.prefetched_batches,
            preferred=tuple(sorted({max(1, size // setting.items) for size in setting.preferred_batch_sizes})))
