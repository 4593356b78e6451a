"""Launches, joins, cancellations, losses, faults; two instances in two zones, 300 s to provision."""

from __future__ import annotations

from sim_stub import MB, S, StubHub

from mmesim.core.actions import (
    DeleteArtifact,
    DrainInstance,
    LoadModel,
    SetDesiredInstances,
    StartDownload,
    TerminateInstance,
    UnloadModel,
)
from mmesim.core.events import (
    DownloadFailed,
    DownloadFinished,
    InstanceJoined,
    InstanceLost,
    LoadFailed,
    LoadFinished,
    MetricsPublished,
    ModelAdded,
    ModelRemoved,
    UnloadFinished,
)
from mmesim.results.types import Phase
from mmesim.scenario.faults import InstanceCrash, LoadFailures, S3Outage, S3Slow, S3Throttle, ZoneLoss
from mmesim.sim.world import World


def started(**kwargs):
    hub = StubHub(**{"availability_zones": 2, "instances": {"initial": 2, "max": 4}, **kwargs})
    world = World(hub, hub)
    world.start()
    return hub, world


def happened(hub):
    """The log without metrics."""
    return [(time, event) for time, event in hub.log if not isinstance(event, MetricsPublished)]


def lives(world):
    return [(life.number, life.slot, life.zone, life.launched_ns // S,
             None if life.joined_ns is None else life.joined_ns // S,
             None if life.ended_ns is None else life.ended_ns // S, life.reason) for life in world.fleet.lives()]


JOINED = [(0.0, InstanceJoined(0, 0)), (0.0, InstanceJoined(1, 1))]


def test_initial_instances_are_in_service_at_once():
    hub, world = started()
    hub.until(1000)
    assert happened(hub) == JOINED
    assert lives(world) == [(0, 0, 0, 0, 0, None, ""), (1, 1, 1, 0, 0, None, "")]


def test_initial_instances_may_be_provisioned_too():
    hub, _ = started(provisioning={"time": "300s", "in_service_at_start": False})
    hub.until(1000)
    assert happened(hub) == [(300.0, InstanceJoined(0, 0)), (300.0, InstanceJoined(1, 1))]


def test_scaling_out_takes_the_next_slot_and_zone():
    hub, world = started()
    hub.until(100)
    world.perform(SetDesiredInstances(3, "out"))
    assert (0, "grow_instances", 2) not in hub.plane.calls
    assert (100 * S, "grow_instances", 3) in hub.plane.calls
    assert world.fleet.phases().tolist() == [Phase.SERVING, Phase.SERVING, Phase.PROVISIONING]
    hub.until(1000)
    assert happened(hub)[2:] == [(400.0, InstanceJoined(2, 0))]


def test_scaling_in_cancels_launches_youngest_first():
    hub, world = started()
    world.perform(SetDesiredInstances(4, "out"))
    hub.until(100)
    world.perform(SetDesiredInstances(3, "in"))
    hub.until(1000)
    assert happened(hub)[2:] == [(300.0, InstanceJoined(2, 0))]
    assert lives(world)[3] == (3, 3, 1, 0, None, 100, "launch cancelled")


def test_draining_then_terminating_is_not_replaced():
    hub, world = started()
    world.perform(SetDesiredInstances(1, "in"))
    world.perform(DrainInstance(1, "scale-in"))
    assert (world.fleet.serving, world.fleet.phases().tolist()) == (1, [Phase.SERVING, Phase.DRAINING])
    hub.until(50)
    world.perform(TerminateInstance(1, "drained"))
    hub.until(1000)
    assert happened(hub) == JOINED
    assert (50 * S, "fail_instance", 1) in hub.plane.calls
    assert lives(world)[1] == (1, 1, 1, 0, 0, 50, "drained")


def test_a_launch_replaces_a_draining_instance_if_more_are_wanted_again():
    hub, world = started()
    world.perform(SetDesiredInstances(1, "in"))
    world.perform(DrainInstance(1, "scale-in"))
    world.perform(SetDesiredInstances(2, "out"))
    hub.until(1000)
    assert happened(hub)[2:] == [(300.0, InstanceJoined(2, 0))]


def test_a_crashed_instance_is_replaced_in_its_slot():
    hub, world = started(faults=(InstanceCrash(use="instance_crash", at="10s", instance=0),))
    world.perform(StartDownload(0, 0))
    world.perform(LoadModel(1, 0))
    hub.until(0.3)
    world.perform(StartDownload(1, 1))
    hub.until(1000)
    assert [event for _, event in happened(hub)[2:]] == [
        LoadFinished(1, 0, 100 * MB, 10 * MB), DownloadFinished(0, 0, S), DownloadFinished(1, 1, S),
        InstanceLost(0, "instance crashed"), InstanceJoined(0, 0)]
    assert lives(world) == [(0, 0, 0, 0, 0, 10, "instance crashed"), (1, 1, 1, 0, 0, None, ""),
                            (2, 0, 0, 10, 310, None, "")]


def test_work_of_a_crashed_instance_never_ends():
    """A download, a load and an unload under way at 0.5 s are lost; what comes for it later goes nowhere."""
    hub, world = started(models=3, faults=(InstanceCrash(use="instance_crash", at="500ms", instance=0),))
    world.perform(LoadModel(0, 2))
    world.perform(LoadModel(0, 0))
    world.perform(StartDownload(0, 1))
    hub.until(0.5)
    world.perform(UnloadModel(0, 0, "late"))
    world.perform(DeleteArtifact(0, 0, "late"))
    hub.until(200)
    assert happened(hub) == [*JOINED, (0.5, InstanceLost(0, "instance crashed"))]


def test_a_crash_of_an_instance_that_does_not_run_happens_to_nobody():
    hub, _ = started(faults=(InstanceCrash(use="instance_crash", at="10s", instance=7),))
    hub.until(1000)
    assert happened(hub) == JOINED


def test_a_lost_zone_takes_its_instances_and_gets_no_launches():
    """Zone 0 dies at 10 s with slot 0; the replacement goes to zone 1. In turn, zone 0 comes next when it is back."""
    hub, world = started(faults=(ZoneLoss.model_validate({"use": "zone_loss", "at": "10s", "zone": 0, "for": "20m"}),))
    hub.until(400)
    world.perform(SetDesiredInstances(3, "out"))
    hub.until(1300)
    world.perform(SetDesiredInstances(4, "out"))
    hub.until(2000)
    assert happened(hub)[2:] == [(10.0, InstanceLost(0, "zone 0 lost")), (310.0, InstanceJoined(0, 1)),
                                 (700.0, InstanceJoined(2, 1)), (1600.0, InstanceJoined(3, 0))]


def test_launches_die_with_their_zone_and_wait_for_one():
    """One zone: everything dies, one launch among it; all three are launched anew when the zone is back at 610 s."""
    hub, world = started(availability_zones=1, faults=(
        ZoneLoss.model_validate({"use": "zone_loss", "at": "10s", "zone": 0, "for": "10m"}),))
    world.perform(SetDesiredInstances(3, "out"))
    hub.until(1000)
    assert happened(hub)[2:] == [(10.0, InstanceLost(0, "zone 0 lost")), (10.0, InstanceLost(1, "zone 0 lost")),
                                 *((910.0, InstanceJoined(slot, 0)) for slot in range(3))]


def test_all_deaths_of_a_zone_come_before_the_first_is_told():
    hub, world = started(availability_zones=1, faults=(
        ZoneLoss.model_validate({"use": "zone_loss", "at": "10s", "zone": 0, "for": "10m"}),))
    alive = []
    post = hub.post
    hub.post = lambda event: (alive.append(world.fleet.serving), post(event)) if isinstance(event, InstanceLost) else 0
    hub.until(20)
    assert alive == [0, 0]


def test_s3_faults_begin_and_end():
    """Outage until 0.5 s: a download begun at 0.2 s is refused at 0.3 s, repeated at 0.5 s, has its bytes at 1.1 s. Ten
    times slower from 10 s for 10 s; 1 GET/s from 30 s for 10 s."""
    span = {"for": "10s"}
    hub, world = started(models=3, faults=(
        S3Outage.model_validate({"use": "s3_outage", "at": "0s", "for": "500ms"}),
        S3Slow.model_validate({"use": "s3_slow", "at": "10s", "factor": 10, **span}),
        S3Throttle.model_validate({"use": "s3_throttle", "at": "30s", "rate": 1, **span})))
    hub.until(0.2)
    world.perform(StartDownload(0, 0))
    seen = {}
    for second in (5, 15, 25, 35, 45):
        hub.until(second)
        seen[second] = world.s3.download_bps
    assert seen == {5: 100e6, 15: 10e6, 25: 100e6, 35: 10e6, 45: 100e6}
    assert happened(hub)[2:] == [(2.1, DownloadFinished(0, 0, S))]


def test_loads_fail_by_pattern_while_the_fault_lasts():
    hub, world = started(models=3, faults=(
        LoadFailures.model_validate({"use": "load_failures", "at": "0s", "for": "1500ms", "models": "m[12]"}),))
    hub.until(0.0)
    for model in range(3):
        world.perform(LoadModel(0, model))
    hub.until(1)
    world.perform(LoadModel(0, 1))
    hub.until(5)
    assert [event for _, event in happened(hub)[2:]] == [
        LoadFinished(0, 0, 100 * MB, 10 * MB), LoadFailed(0, 1, False, "load failure (fault)"),
        LoadFailed(0, 2, False, "load failure (fault)"), LoadFinished(0, 1, 100 * MB, 10 * MB)]


def test_random_faults_come_at_their_rate_and_repeat_with_the_seed():
    """Mean time between crashes 100 s, over 40000 s: 400 give or take 20."""
    def crashes(seed):
        hub, _ = started(seed=seed, provisioning={"time": "1s"}, faults=(
            InstanceCrash(use="instance_crash", every="100s"),))
        hub.until(40_000)
        return [time for time, event in hub.log if isinstance(event, InstanceLost)]

    first = crashes(1)
    assert first == crashes(1) != crashes(2)
    assert 340 < len(first) < 460


def test_models_come_and_go():
    hub = StubHub()
    hub.change_model(0, available_from_ns=5 * S)
    hub.change_model(1, available_until_ns=7 * S)
    World(hub, hub).start()
    hub.until(20)
    assert happened(hub)[2:] == [(5.0, ModelAdded(0)), (7.0, ModelRemoved(1))]


def test_a_whole_life_of_a_model():
    hub, world = started()
    world.perform(StartDownload(0, 0))
    hub.until(2)
    world.perform(LoadModel(0, 0))
    hub.until(4)
    world.perform(UnloadModel(0, 0, "idle"))
    hub.until(6)
    world.perform(DeleteArtifact(0, 0, "evicted"))
    assert happened(hub)[2:] == [(1.6, DownloadFinished(0, 0, S)), (3.0, LoadFinished(0, 0, 100 * MB, 10 * MB)),
                                 (5.0, UnloadFinished(0, 0))]
    gauges = world.meter.gauges()
    assert gauges.disk_used_bytes.tolist() == [0, 0]
    assert gauges.network_bytes == 50 * MB


def test_a_removed_model_cannot_be_downloaded():
    hub, world = started()
    hub.table.models["exists"][0] = 0
    world.perform(StartDownload(0, 0))
    hub.until(1)
    assert happened(hub)[2:] == [(0.1, DownloadFailed(0, 0, "the archive is not in the prefix"))]
