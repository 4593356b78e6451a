"""Triton on one instance: loads, unloads, and what they really take of device and host memory.

*Load*: a measured load time, or else a disk read (shared with the other loads), a fixed part and the copy to the
device; a lognormal factor of mean 1 spreads it (but for the read). *Memory* is taken at the end of a load, at the
actual size; what does not fit fails out of memory and takes nothing. The first model of a framework also takes the
framework's base (CUDA context, libraries), which stays for the server's life. *Unload* as Triton's SageMaker front end
does it: it looks every `unload_poll` whether the model is gone, and sleeps once more after it is, so it takes
poll * (ceil(t / poll) + 1) (src/sagemaker_server.cc); memory is free at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import simpy

from mmesim.core.distribution import Distribution
from mmesim.core.events import LoadFailed, LoadFinished, UnloadFinished
from mmesim.dataplane.api import ONE_Q16
from mmesim.scenario.build import BuiltModel
from mmesim.sim.disk import Disk, Record
from mmesim.sim.draws import Draws
from mmesim.sim.hub import Hub, later
from mmesim.units import ns


class TritonTimes:
    """How long loads and unloads take, over all instances; the n-th of each model draws its n-th number."""

    def __init__(self, hub: Hub) -> None:
        endpoint = hub.build.scenario.endpoint
        spread = Distribution("lognormal", 1.0, endpoint.server.load_time_cv)
        self._factor = Draws(hub, spread, "load time")
        given = endpoint.server.unload_time
        self._unload_s = Draws(hub, given.distribution(), "unload time") if given else None
        self._poll_s = endpoint.server.unload_poll
        self._device_bps = endpoint.storage.host_to_device_rate

    def load_ns(self, index: int, model: BuiltModel) -> int:
        """The load but for its disk read, if that is not in a measured time."""
        load_s = model.load_s
        if load_s is None:
            load_s = model.load_fixed_s + model.actual_gpu_bytes / self._device_bps
        return ns(load_s * self._factor.next(index))

    def unload_ns(self, index: int, model: BuiltModel) -> int:
        """From the request to the answer."""
        unload_s, poll_s = self._unload_s.next(index) if self._unload_s else model.unload_s, self._poll_s
        return ns(poll_s * (math.ceil(unload_s / poll_s) + 1) if poll_s else unload_s)


@dataclass(frozen=True, slots=True)
class Job:
    """A load or unload under way."""

    model: int
    started_ns: int


class Triton:
    """One server. `alive` ends with its instance: what was under way then never ends."""

    def __init__(self, hub: Hub, slot: int, disk: Disk, times: TritonTimes, failing: list[int],
                 record: Record) -> None:
        """`failing[model]` > 0: loads of it end in an error now."""
        self._hub = hub
        self._slot = slot
        self._disk = disk
        self._times = times
        self._failing = failing
        self._record = record
        self._capacity = hub.build.endpoint.instance
        self._slowdown = hub.build.load_slowdown
        self._frameworks: set[str] = set()
        self._loading = 0
        self.alive = True
        self.ready = 0
        """READY copies."""
        self.device_bytes = 0
        """Device memory that models and frameworks take."""
        self.host_bytes = 0
        """Host memory that models take."""

    def load(self, model: int) -> None:
        """Load from the disk; ends in LoadFinished or LoadFailed."""
        built = self._hub.build.models[model]
        self._loading += 1
        if self._loading == 1:
            self._set_speed(self._slowdown)
        job = Job(model, self._hub.env.now)
        if built.load_s is None:
            self._disk.reads.start(built.spec.disk_bytes, lambda: self._load_files(job))
        else:
            self._load_files(job)

    def unload(self, model: int) -> None:
        """Unload a READY copy; ends in UnloadFinished."""
        self.ready -= 1
        wait_ns = self._times.unload_ns(model, self._hub.build.models[model])
        later(self._hub.env, wait_ns, self._unloaded, Job(model, self._hub.env.now))

    def kill(self) -> None:
        """The instance is gone."""
        self.alive = False
        self._disk.reads.clear()

    def _load_files(self, job: Job) -> None:
        delay_ns = self._times.load_ns(job.model, self._hub.build.models[job.model])
        later(self._hub.env, delay_ns, self._loaded, job)

    def _loaded(self, event: simpy.Event) -> None:
        if not self.alive:
            return
        job: Job = event.value
        built = self._hub.build.models[job.model]
        self._loading -= 1
        if self._loading == 0:
            self._set_speed(1.0)
        self._note("load", "ModelLoadingTime", job)
        error = self._error(job.model, built)
        if error or not self._take(built):
            self._hub.post(LoadFailed(self._slot, job.model, not error, error or "out of memory"))
            return
        self.ready += 1
        gpu_bytes = built.actual_gpu_bytes if self._capacity.has_gpu else 0
        self._hub.post(LoadFinished(self._slot, job.model, gpu_bytes, built.actual_host_bytes))

    def _unloaded(self, event: simpy.Event) -> None:
        if not self.alive:
            return
        job: Job = event.value
        self._give(self._hub.build.models[job.model])
        self._note("unload", "ModelUnloadingTime", job)
        self._hub.post(UnloadFinished(self._slot, job.model))

    def _error(self, model: int, built: BuiltModel) -> str:
        if built.fails_to_load:
            return "the model fails to load"
        return "load failure (fault)" if self._failing[model] else ""

    def _take(self, built: BuiltModel) -> bool:
        """Take a model's memory; False, and nothing taken, when it does not fit."""
        device_bytes, host_bytes = self.device_bytes, self.host_bytes + built.actual_host_bytes
        spec = built.spec
        if self._capacity.has_gpu:
            base_bytes = 0 if spec.framework in self._frameworks else spec.framework_base_bytes
            device_bytes += built.actual_gpu_bytes + base_bytes
        if device_bytes > self._capacity.gpu_bytes or host_bytes > self._capacity.host_bytes:
            return False
        self._frameworks.add(spec.framework)
        self.device_bytes, self.host_bytes = device_bytes, host_bytes
        return True

    def _give(self, built: BuiltModel) -> None:
        if self._capacity.has_gpu:
            self.device_bytes -= built.actual_gpu_bytes
        self.host_bytes -= built.actual_host_bytes

    def _set_speed(self, slowdown: float) -> None:
        """Inference runs so much slower: on the device, or on the CPUs of an instance without one."""
        if self._slowdown == 1.0:
            return
        speed_q16 = max(1, round(ONE_Q16 / slowdown))
        on_gpu = self._capacity.has_gpu
        self._hub.plane.set_speed(self._slot, speed_q16 if on_gpu else ONE_Q16, ONE_Q16 if on_gpu else speed_q16)

    def _note(self, track: str, metric: str, job: Job) -> None:
        now_ns = self._hub.env.now
        self._record(metric, now_ns - job.started_ns)
        self._hub.span(self._slot, track, self._hub.build.models[job.model].spec.name, job.started_ns, now_ns)
