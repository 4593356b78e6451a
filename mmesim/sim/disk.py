"""The disk of one instance: downloads arrive on it, are extracted, and are read by loads.

A download is S3 to network to extraction; the extraction is one thread of the instance's CPUs, which it shares with the
requests' host stage. Writing the archive and the files is not a bottleneck of its own here. Reads of concurrent loads
share the disk's read bandwidth; the page cache is not modelled: a load that is computed reads the disk in full (a
measured load time already contains whatever the cache gave).
"""

from __future__ import annotations

from collections.abc import Callable

from mmesim.core.events import DownloadFailed, DownloadFinished
from mmesim.sim.hub import Hub
from mmesim.sim.link import Link
from mmesim.sim.network import Nic
from mmesim.sim.s3 import S3
from mmesim.units import ns

Record = Callable[[str, int], None]
"""Takes a sample of a CloudWatch time metric: (name, ns)."""


class Disk:
    """Files of one instance."""

    def __init__(self, hub: Hub, slot: int, s3: S3, nic: Nic, record: Record) -> None:
        self._hub = hub
        self._slot = slot
        self._s3 = s3
        self._nic = nic
        self._record = record
        storage = hub.build.scenario.endpoint.storage
        self._extract_bps = storage.extract_rate
        self.reads = Link(hub.env, storage.disk_read_rate or hub.build.instance_type.disk_read_bps)
        self._files: dict[int, int] = {}
        self.used_bytes = 0
        """Archives on their way and extracted files."""

    def download(self, model: int) -> None:
        """Fetch and extract an archive; ends in DownloadFinished or DownloadFailed."""
        spec = self._hub.build.models[model].spec
        started_ns = self._hub.env.now
        self._put(model, spec.artifact_bytes)
        self._s3.fetch(model, spec.artifact_bytes, self._nic, lambda: self._downloaded(model, started_ns),
                       lambda reason: self._download_failed(model, reason))

    def delete(self, model: int) -> None:
        """The extracted files go, at once."""
        self.used_bytes -= self._files.pop(model)

    def _put(self, model: int, size_bytes: int) -> None:
        self.used_bytes += size_bytes - self._files.get(model, 0)
        self._files[model] = size_bytes

    def _downloaded(self, model: int, started_ns: int) -> None:
        now_ns, spec = self._hub.env.now, self._hub.build.models[model].spec
        self._record("ModelDownloadingTime", now_ns - started_ns)
        self._hub.span(self._slot, "download", spec.name, started_ns, now_ns, bytes=spec.artifact_bytes)
        work = self._hub.host_work(self._slot, ns(spec.disk_bytes / self._extract_bps))
        work.callbacks.append(lambda _: self._extracted(model, now_ns))

    def _extracted(self, model: int, started_ns: int) -> None:
        now_ns, spec = self._hub.env.now, self._hub.build.models[model].spec
        self._put(model, spec.disk_bytes)
        self._hub.span(self._slot, "extract", spec.name, started_ns, now_ns, bytes=spec.disk_bytes)
        self._hub.post(DownloadFinished(self._slot, model, now_ns - started_ns))

    def _download_failed(self, model: int, reason: str) -> None:
        self.delete(model)
        self._hub.post(DownloadFailed(self._slot, model, reason))
