"""What a simulation needs of a profile, and who can supply what nobody measured.

A profile may lack any number (``mmesim profile analyze --only memory`` writes one without latencies). Each that is
missing is answered with the setting that supplies it by hand, where there is one, and the command that measures it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmesim.errors import Problem
from mmesim.profile import ModelProfile
from mmesim.profile.model import ON_CPU
from mmesim.scenario.models import ModelGroup


class Need(NamedTuple):
    """One number, or group of numbers, of a profile."""

    field: str
    kind: str
    """What measures it: ``mmesim profile analyze --only KIND``."""
    setting: str = ""
    """The setting of a model group that stands in for it."""
    on: str = ""
    """Needed only on this kind of device: ``gpu``, ``cpu``; empty: on both."""


NEEDS = (Need("latency", "grid"), Need("overhead", "grid"), Need("host_cpu", "work"),
         Need("gpu_share", "interference", on="gpu"), Need("cpu_cores", "work", on="cpu"),
         Need("gpu_bytes", "memory", "gpu_bytes", on="gpu"), Need("framework_base_bytes", "memory", on="gpu"),
         Need("host_bytes", "memory", "host_bytes"), Need("artifact_bytes", "artifact", "artifact_bytes"),
         Need("disk_bytes", "artifact", "disk_bytes"), Need("load", "load", "load_time"))


def missing_numbers(groups: Sequence[ModelGroup], profiles: Sequence[ModelProfile | None]) -> Iterator[Problem]:
    """A problem for each number that a group neither has in its profile nor gives itself."""
    for i, (group, profile) in enumerate(zip(groups, profiles, strict=True)):
        for need in NEEDS if profile is not None else ():
            if _is_missing(need, group, profile):
                yield _problem(i, need, profile)


def _is_missing(need: Need, group: ModelGroup, profile: ModelProfile) -> bool:
    device = "cpu" if profile.gpu == ON_CPU else "gpu"
    if need.on not in ("", device) or (need.setting and getattr(group, need.setting) is not None):
        return False
    if need.field == "load":
        return profile.load_time_s is None and profile.load_fixed_s is None
    return getattr(profile.file, need.field) is None


def _problem(i: int, need: Need, profile: ModelProfile) -> Problem:
    by_hand = f"write models.{i}.{need.setting}" if need.setting else f"write {need.field} into the profile"
    measured = f"mmesim profile analyze REPOSITORY --models {profile.file.model} --only {need.kind}"
    return Problem(f"the profile {profile.name} has no {need.field}: it was not measured",
                   path=f"models.{i}.{need.setting or 'profile'}", hint=f"measure it: {measured}; or {by_hand}")
