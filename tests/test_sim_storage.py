"""S3, extraction and disk by hand. 100 ms to the first byte, 100 MB/s per download and for the network, three attempts
with pauses of 0.2 s and 0.4 s, extraction at 100 MB/s: 50 MB and 100 MB extracted take 0.1 + 0.5 + 1 s."""

from __future__ import annotations

import pytest
from sim_stub import MB, StubHub

from mmesim.core.events import DownloadFailed, DownloadFinished
from mmesim.sim.disk import Disk
from mmesim.sim.network import Nic
from mmesim.sim.s3 import S3
from mmesim.units import ns

FINISHED = DownloadFinished(0, 0, ns(1.0))


def world(**kwargs):
    hub = StubHub(3, **kwargs)
    s3 = S3(hub)
    network = Nic(hub.env, 100e6, 400e6, 0.0, s3.download_bps)
    s3.connect(network)
    times = []
    return hub, s3, network, Disk(hub, 0, s3, network, lambda *sample: times.append(sample)), times


def test_a_download_is_first_byte_then_bytes_then_extraction():
    hub, _, _, disk, times = world()
    disk.download(0)
    assert disk.used_bytes == 50 * MB
    hub.until(10)
    assert hub.log == [(1.6, FINISHED)]
    assert disk.used_bytes == 100 * MB
    assert times == [("ModelDownloadingTime", ns(0.6))]
    assert hub.spans == [(0, "download", "m0", 0.0, 0.6), (0, "extract", "m0", 0.6, 1.6)]
    disk.delete(0)
    assert disk.used_bytes == 0


def test_downloads_share_the_network():
    """Both move 50 MB at 50 MB/s each."""
    hub, _, _, disk, _ = world()
    disk.download(0)
    disk.download(1)
    hub.until(10)
    assert [time for time, _ in hub.log] == [2.1, 2.1]


def test_an_outage_breaks_transfers_off_and_keeps_what_has_arrived():
    """Breaks at 0.3 s with 30 MB to come; tries at 0.5 s, refused at 0.6 s; tries at 1.0 s, bytes from 1.1 to 1.4 s."""
    hub, s3, network, disk, _ = world()
    disk.download(0)
    hub.until(0.3)
    s3.begin_outage()
    hub.until(0.9)
    s3.end_outage()
    hub.until(10)
    assert hub.log == [(2.4, FINISHED)]
    assert network.moved_bytes == 50 * MB


def test_a_long_outage_uses_up_the_attempts():
    """Refused at 0.1, 0.4 and 0.9 s."""
    hub, s3, _, disk, _ = world()
    s3.begin_outage()
    disk.download(0)
    hub.until(10)
    assert hub.log == [(0.9, DownloadFailed(0, 0, "S3 outage, after 3 attempts"))]
    assert disk.used_bytes == 0


def test_overlapping_outages_last_until_the_last_is_over():
    hub, s3, _, disk, _ = world()
    s3.begin_outage()
    s3.begin_outage()
    s3.end_outage()
    disk.download(0)
    hub.until(0.2)
    s3.end_outage()
    hub.until(10)
    assert hub.log == [(1.9, FINISHED)]


def test_slow_s3_stretches_first_byte_and_connections():
    """Ten times: 1 s to the first byte, then 10 MB/s; back to normal after 2 s: 10 MB are there, 40 MB at 100 MB/s."""
    hub, s3, _, disk, _ = world()
    s3.begin_slow(10)
    disk.download(0)
    hub.until(2)
    s3.end_slow(10)
    hub.until(10)
    assert hub.log == [(3.4, FINISHED)]


def test_slow_down_beyond_the_prefix_rate():
    """4 GET/s: four requests in store. The first takes 5 parts at 0.1 s: in debt until 0.35 s. The second is refused at
    0.1 s, and answered at 0.4 s with 0.2 requests in store."""
    hub, _, _, disk, _ = world(storage={"s3_prefix_rate": 4})
    disk.download(0)
    disk.download(1)
    hub.until(0.39)
    assert len(disk._nic) == 1
    hub.until(0.4)
    assert len(disk._nic) == 2


def test_throttling_caps_one_download_at_rate_times_part():
    """1 GET/s of 10 MB: 5 s for 50 MB."""
    hub, s3, _, disk, _ = world()
    s3.begin_throttle(1)
    disk.download(0)
    hub.until(10)
    assert hub.log == [(6.1, FINISHED)]
    s3.end_throttle(1)
    assert s3.download_bps == 100e6


def test_throttled_out_after_all_attempts():
    """Ten models want 5 GETs each at 1 GET/s: the debt of the first outlasts the others' attempts."""
    hub, s3, _, disk, _ = world()
    s3.begin_throttle(1)
    for model in range(3):
        disk.download(model)
    hub.until(10)
    assert [type(event) for _, event in hub.log] == [DownloadFailed, DownloadFailed, DownloadFinished]
    assert hub.log[0] == (0.9, DownloadFailed(0, 1, "503 Slow Down, after 3 attempts"))


def test_an_archive_that_is_gone_fails_at_once():
    hub, _, _, disk, _ = world()
    hub.table.models["exists"][0] = 0
    disk.download(0)
    hub.until(10)
    assert hub.log == [(0.1, DownloadFailed(0, 0, "the archive is not in the prefix"))]


@pytest.mark.parametrize("when", [0.05, 0.3])
def test_a_lost_instance_is_told_nothing(when):
    hub, s3, network, disk, _ = world()
    disk.download(0)
    hub.until(when)
    s3.disconnect(network)
    s3.begin_outage()
    hub.until(10)
    assert hub.log == []


def test_other_downloads_do_not_shift_a_models_luck():
    """The first download of model 0 takes the same time whether model 1 was downloaded before or not."""
    def first_byte_s(*before):
        hub, _, _, disk, times = world(storage={"s3_first_byte": {"law": "exponential", "mean": "1s"}})
        for model in (*before, 0):
            disk.download(model)
            hub.until(hub.env.now / 1e9 + 100)
        return times[-1]

    assert first_byte_s() == first_byte_s(1, 2)
