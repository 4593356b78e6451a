"""The cold path: from a miss to READY, one load per (instance, model), however many requests wait for it.

Per instance two first-in-first-out queues feed `download_threads` and `load_threads`. Room is made for as many loads as
there are free threads, and granted in order. `pump` is called after everything that may have made room or freed a
thread.
"""

from __future__ import annotations

from itertools import islice

from mmesim.core.actions import Dispatch, FailWaiters, LoadModel, StartDownload
from mmesim.core.endpoint import Endpoint
from mmesim.core.instance import ColdStart, InstanceState
from mmesim.core.lifecycle import Residency
from mmesim.core.memory import Memory, Room
from mmesim.core.types import Failure, Tier

OOM_GROWTH = (5, 4)
"""After an out-of-memory load the expected size grows by so much, unless the server told the actual one (assumed)."""


class ColdPath:
    """Downloads and loads of all instances."""

    def __init__(self, endpoint: Endpoint, memory: Memory) -> None:
        self.endpoint = endpoint
        self.memory = memory

    def start(self, instance: InstanceState, model: int, now_ns: int) -> None:
        """Begin a cold start; requests may join it from now on."""
        endpoint, i = self.endpoint, instance.index
        state = endpoint.table.state(i, model)
        if state is Residency.FAILED:
            state = endpoint.table.advance(i, model, "retry")
        tier = Tier.S3 if state is Residency.ABSENT else Tier.DISK
        instance.cold[model] = ColdStart(model, tier, now_ns + endpoint.spec.load_timeout_ns)
        row = endpoint.table.row(i, model)
        copy = endpoint.table.copy
        copy.tier[row] = tier
        copy.uses[row] = 0
        copy.requested_ns[row] = copy.downloaded_ns[row] = copy.load_started_ns[row] = now_ns
        if tier is Tier.S3:
            copy.extracted_ns[row] = now_ns
        endpoint.table.cold_started(i, model)
        (instance.download_queue if tier is Tier.S3 else instance.load_queue).append(model)
        self.pump(instance, now_ns)

    def pump(self, instance: InstanceState, now_ns: int) -> None:
        """Start what threads and room allow."""
        spec = self.endpoint.spec
        while instance.download_queue and instance.downloading < spec.download_threads:
            if not self._try_download(instance, instance.download_queue[0], now_ns):
                break
        while instance.load_queue and instance.loading < spec.load_threads:
            if not self._try_load(instance, now_ns):
                break

    def _try_download(self, instance: InstanceState, model: int, now_ns: int) -> bool:
        room = self.memory.reserve_disk(instance, model, now_ns)
        if room is Room.WAIT:
            return False
        instance.download_queue.popleft()
        if room is Room.NEVER:
            self.fail(instance, model, now_ns)
            return True
        instance.downloading += 1
        self.endpoint.table.advance(instance.index, model, "start download")
        self.endpoint.do(StartDownload(instance.index, model))
        return True

    def _try_load(self, instance: InstanceState, now_ns: int) -> bool:
        table, model = self.endpoint.table, instance.load_queue[0]
        if table.state(instance.index, model) is Residency.UNLOADING:
            return False
        threads = self.endpoint.spec.load_threads - instance.loading
        room = self.memory.reserve(instance, list(islice(instance.load_queue, threads)), now_ns)
        if room is Room.WAIT:
            return False
        instance.load_queue.popleft()
        if room is Room.NEVER:
            self.fail(instance, model, now_ns)
            return True
        instance.loading += 1
        table.advance(instance.index, model, "start load")
        table.copy.load_started_ns[table.row(instance.index, model)] = now_ns
        self.endpoint.do(LoadModel(instance.index, model))
        return True

    def downloaded(self, instance: InstanceState, model: int, extract_ns: int, disk_bytes: int, now_ns: int) -> None:
        """Files are on the disk, and take `disk_bytes` (0: as expected): queue for a load."""
        endpoint = self.endpoint
        instance.downloading -= 1
        endpoint.table.advance(instance.index, model, "download finished")
        if disk_bytes and not instance.disk.settle(model, disk_bytes):
            instance.disk.fill(model)
        row = endpoint.table.row(instance.index, model)
        endpoint.table.copy.downloaded_ns[row] = now_ns - extract_ns
        endpoint.table.copy.extracted_ns[row] = now_ns
        endpoint.policies.disk_eviction.loaded(instance.index, model, now_ns)
        instance.load_queue.append(model)

    def download_failed(self, instance: InstanceState, model: int, now_ns: int) -> None:
        """S3 gave up: so do the waiters."""
        instance.downloading -= 1
        self.endpoint.table.advance(instance.index, model, "download failed")
        instance.disk.release(model)
        self.fail(instance, model, now_ns)

    def loaded(self, instance: InstanceState, model: int, gpu_bytes: int, host_bytes: int, now_ns: int) -> None:
        """READY, unless what it really takes does not fit: then it leaves again and the load is tried once more."""
        endpoint, i = self.endpoint, instance.index
        instance.loading -= 1
        endpoint.table.advance(i, model, "load finished")
        instance.ready.add(model)
        if instance.spec.has_gpu:
            endpoint.expected_gpu_bytes[model] = gpu_bytes
        instance.room_made = 0 if gpu_bytes > instance.gpu.accounts[model] else instance.room_made
        fits = instance.gpu.settle(model, gpu_bytes if instance.spec.has_gpu else 0)
        if not (fits and instance.host.settle(model, host_bytes)):
            (instance.host if fits else instance.gpu).fill(model)
            self.memory.unload(instance, model, "out of memory", now_ns)
            self._again(instance, model, now_ns)
            return
        row = endpoint.table.row(i, model)
        endpoint.table.copy.ready_since_ns[row] = now_ns
        endpoint.table.copy.watch[row] = not endpoint.spec.model_cache
        self._end(instance, model)
        endpoint.policies.gpu_eviction.loaded(i, model, now_ns)
        self.memory.expire(instance, model, now_ns)
        endpoint.do(Dispatch(i, model))

    def load_failed(self, instance: InstanceState, model: int, out_of_memory: bool, now_ns: int) -> None:
        """Out of memory: expect more and try again; any other error is final."""
        endpoint = self.endpoint
        instance.loading -= 1
        endpoint.table.advance(instance.index, model, "out of memory" if out_of_memory else "load failed")
        self.memory.release(instance, model)
        if not out_of_memory:
            self.fail(instance, model, now_ns)
            return
        grow, by = OOM_GROWTH
        more_bytes = endpoint.expected_gpu_bytes[model] * grow // by
        endpoint.expected_gpu_bytes[model] = min(more_bytes, instance.gpu.capacity_bytes)
        self._again(instance, model, now_ns)
        if model not in instance.cold:
            endpoint.expected_gpu_bytes[model] = endpoint.specs[model].gpu_bytes

    def _again(self, instance: InstanceState, model: int, now_ns: int) -> None:
        cold = instance.cold[model]
        cold.attempts += 1
        if cold.attempts > self.endpoint.spec.load_retries:
            self.fail(instance, model, now_ns)
        else:
            instance.load_queue.appendleft(model)
            instance.room_made = 0

    def fail(self, instance: InstanceState, model: int, now_ns: int) -> None:
        """The cold start ends in an error; the model is refused for a while."""
        self.give_up(instance, model, now_ns)
        self._end(instance, model)

    def give_up(self, instance: InstanceState, model: int, now_ns: int) -> None:
        """Fail the waiters and refuse new ones for a while; what is under way goes on."""
        self.endpoint.table.model.failed_until_ns[model] = now_ns + self.endpoint.spec.failed_retry_after_ns
        self.endpoint.do(FailWaiters(instance.index, model, Failure.LOAD_FAILED))

    def _end(self, instance: InstanceState, model: int) -> None:
        del instance.cold[model]
        self.endpoint.table.cold_ended(instance.index, model)
