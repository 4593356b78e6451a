"""KServe ModelMesh's placement and copy rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import EndpointView, InstanceView, ModelView, PlacementPolicy, Prewarm
from mmesim.policies.checks import above_zero
from mmesim.policies.placement.shortlist import Cluster, Shortlist, not_busy, pick, record, since_use_s
from mmesim.policies.room import need_bytes
from mmesim.units import ns

HEAVY = 0.75
"""Of the threshold: above it a model is under heavy load."""
LIGHT = 2 / 3
"""Of the threshold: at most so much for a third copy to leave."""
LOAD_DRIVEN_S = -20.0
"""Copies that load asks for are placed as if the model were used 20 s from now."""
SECOND_COPY_S = (420.0, 2400.0)
"""A use so long after an earlier one is regular."""
SECOND_COPY_FREE, SECOND_COPY_AGE_NS = 0.1, ns(72_000)
"""Room a second copy needs, or the age of the cache: ten times three times the 40 min, which is 20 h."""
FULL = 0.05
"""Copies leave only when no more of the memory is free."""
FEWER_EVERY_NS = ns(360)
SECOND_COPY_LEAVES_NS = ns(36_000)
"""A second copy is not kept for longer than 10 h without a use (less in a younger cache)."""
RECENT_LOAD_NS, RECENT_UNLOAD_NS = ns(1800), ns(80)
LEAST_AGE_NS, MOST_AGE_NS = ns(600), ns(18_000)


@dataclass
class ModelMesh(PlacementPolicy):
    """One of the best instances by ModelMesh's order, at random, and copies after the requests a minute.

    *A miss*: :mod:`mmesim.policies.placement.shortlist`. *More copies*, each `period`: a model with more than
    `copy_rpm` requests a minute and copy gets requests / `copy_rpm` more, at most a third of the instances when that is
    over 2, unless a load of it is recent; a model with one copy gets a second when it is used 7 to 40 min after an
    earlier use, if a tenth of all memory is free or the cache is older than 20 h. *Fewer*, each 6 min, while less than
    5 % of all memory is free: the second copy after a tenth of the cache's age without a use (10 h at most); a further
    one at two thirds of `copy_rpm` or less, when none was loaded for 30 min and no heavy load was seen for 10 min to
    5 h, depending on the cache's age. The worse instance in the order gives it up, at most 5 % of its memory at a time.

    `reading`: the code *as written* differs from its evident intent in five places: the shortlist takes the deciding
    instance's record for others'; a quarter and 1.25 where the comment says half and 1.5; the 10 min to 5 h are
    computed from the time of day, so that they are always 5 h; four or five instances can get one copy more for three
    thresholds' load but two for two; the 10 h bound is dropped for old, not for recent heavy load.

    Source: ModelMesh.java at ea13cdc, lines 4646-4992, 5644-5807, 6199-6300. Stand-ins: an instance's requests a minute
    are `InstanceView.rate_rps` (half-life 10 min); a copy's are its model's since the last check, shared equally;
    "recent load" is a copy placed here, and a load lasts as long as from S3. The deciding instance of a miss is one of
    those offered, at random, and does not prefer itself. Left out: prefetching by the leader, the churn guard, versions
    of instances (they prefer newer ones), type constraints, and latency mode.

    *Helps* a hot model where the router adds no copies (p99 65 ms with `copy_rpm: 600` instead of 370 ms); *hurts*
    where memory is tight: it ignores which disk holds the files, and loads from S3 again. Figures:
    docs/policies-built-in.
    """

    name: ClassVar[str] = "modelmesh"

    reading: Literal["written", "meant"] = "written"
    """written: with what looks like mistakes in the code; meant: without."""
    copy_rpm: float = 2000.0
    """Requests a minute that a copy takes (scale-up threshold)."""
    period_s: float = 10.0
    """How often copies are considered."""
    _uses: NDArray[np.int64] | None = field(init=False, repr=False, compare=False, default=None)
    """Requests of each model at the last check."""
    _checked_ns: int = field(init=False, repr=False, compare=False, default=0)
    _fewer_ns: int = field(init=False, repr=False, compare=False, default=0)
    """When fewer copies are considered next."""
    _checks: int = field(init=False, repr=False, compare=False, default=0)
    _seen: dict[int, tuple[int, int]] = field(init=False, repr=False, compare=False, default_factory=dict)
    """Checks at which a model with one copy was seen in use: an earlier and the last one."""
    _heavy_ns: dict[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _placed_ns: dict[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _removed_ns: dict[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        above_zero(copy_rpm=self.copy_rpm, period=self.period_s)

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """One of the shortlist; never None."""
        own = pick(self.rng, range(len(instances))) if self._written else 0
        if not model.n_copies:
            self._seen.pop(model.index, None)
        return self._choose(model, instances, instances[own], since_use_s(model, now_ns), now_ns)

    def rearrange(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Copies to add, and every 6 min copies to take away."""
        uses, before, since_ns = endpoint.model_uses, self._uses, now_ns - self._checked_ns
        self._uses, self._checked_ns, self._checks = uses, now_ns, self._checks + 1
        instances = endpoint.instances
        if before is None or len(instances) < 2 or not since_ns:
            return []
        cluster = Cluster.of(instances, now_ns)
        decisions: list[Prewarm] = []
        for model in np.flatnonzero(uses > before).tolist():
            rate_rpm = 60e9 * (uses.item(model) - before.item(model)) / since_ns
            decisions += self._more(endpoint.models[model], instances, cluster, rate_rpm, since_ns, now_ns)
        if now_ns >= self._fewer_ns:
            self._fewer_ns = now_ns + FEWER_EVERY_NS
            decisions += self._fewer(endpoint, uses - before, since_ns, now_ns) if cluster.free_fraction <= FULL else []
        return decisions

    @property
    def _written(self) -> bool:
        return self.reading == "written"

    def _choose(self, model: ModelView, instances: Sequence[InstanceView], own: InstanceView, used_s: float,
                now_ns: int) -> int:
        size = need_bytes(model)
        records = [record(instance, size, now_ns) for instance in instances]
        shortlist = Shortlist(self._written).of(records, record(own, size, now_ns), now_ns)
        self._placed_ns[model.index] = now_ns
        return pick(self.rng, not_busy(shortlist, used_s))

    def _more(self, model: ModelView, instances: Sequence[InstanceView], cluster: Cluster, rate_rpm: float,
              since_ns: int, now_ns: int) -> Iterator[Prewarm]:
        """Copies for a model that was used since the last check."""
        holders = [one for one in instances if one.is_ready(model.index)]
        where = [one for one in instances if not one.is_ready(model.index) and not one.is_cold(model.index)]
        if not holders:
            return
        rpm = int(rate_rpm / len(holders))
        if rpm > HEAVY * self.copy_rpm:
            self._heavy_ns[model.index] = now_ns
        wanted, used_s = 0, LOAD_DRIVEN_S
        if model.n_copies == 1 and self._is_regular(model.index) and (
                cluster.free_fraction >= SECOND_COPY_FREE or cluster.age_ns > SECOND_COPY_AGE_NS):
            wanted, used_s = 1, since_ns / 1e9
        elif rpm >= self.copy_rpm and not self._loaded_since(model, since_ns, now_ns):
            wanted = self._wanted(rpm, len(where), len(instances))
        for _ in range(min(wanted, len(where))):
            chosen = self._choose(model, where, holders[0], used_s, now_ns)
            where = [one for one in where if one.index != chosen]
            yield Prewarm(chosen, model.index)

    def _wanted(self, rpm: int, candidates: int, instances: int) -> int:
        """Copies for the load, not too many at once."""
        copies = min(int(rpm // self.copy_rpm), candidates)
        most = instances // 3 if self._written else max(2, instances // 3)
        return min(copies, most) if copies > 2 else copies

    def _is_regular(self, model: int) -> bool:
        """Note a use at this check; True when one of the two noted before it was 7 to 40 min ago."""
        earlier, last = self._seen.get(model, (-1, -1))
        upper, lower = (self._checks - int(s / self.period_s) for s in SECOND_COPY_S)
        near = last >= max(lower, 0) and earlier <= upper
        first, second = near and earlier >= max(lower, 0), near and last <= upper
        self._seen[model] = (last if second or not first else earlier, self._checks)
        return first or second

    def _loaded_since(self, model: ModelView, since_ns: int, now_ns: int) -> bool:
        """True when the last load is too recent for the rate to show what it brings."""
        enough_ns = since_ns + ns(self.period_s) + 2 * ns(model.spec.reload_s3_s)
        return now_ns - self._placed_ns.get(model.index, -enough_ns) < enough_ns

    def _fewer(self, endpoint: EndpointView, used: NDArray[np.int64], since_ns: int, now_ns: int) -> list[Prewarm]:
        """Copies that leave, of the models used longest ago first."""
        instances = {instance.index: instance for instance in endpoint.instances}
        age_ns = Cluster.of(list(instances.values()), now_ns).age_ns
        several = [model for model in endpoint.models if model.n_copies > 1 and len(model.copies) == model.n_copies]
        decisions: list[Prewarm] = []
        left: dict[int, int] = {}
        for model in sorted(several, key=lambda one: (one.last_use_ns, one.index)):
            rpm = 60e9 * used.item(model.index) / since_ns / model.n_copies
            if not (self._second_leaves(model, age_ns, now_ns) if model.n_copies == 2 else
                    self._further_leaves(model, rpm, age_ns, now_ns)):
                continue
            size = need_bytes(model)
            worst = max((instances[i] for i in model.copies), key=lambda one: record(one, size, now_ns).order)
            if worst.index in left and left[worst.index] + size > worst.memory_bytes // 20:
                continue
            left[worst.index] = left.get(worst.index, 0) + size
            self._removed_ns[model.index] = now_ns
            decisions.append(Prewarm(worst.index, model.index, load=False))
        return decisions

    def _second_leaves(self, model: ModelView, age_ns: int, now_ns: int) -> bool:
        keep_ns, heavy_ns = age_ns // 10, self._heavy_ns.get(model.index)
        recent = heavy_ns is not None and now_ns - heavy_ns < age_ns // 5
        if heavy_ns is None or recent == self._written:
            keep_ns = min(keep_ns, SECOND_COPY_LEAVES_NS)
        return now_ns - model.last_use_ns > keep_ns

    def _further_leaves(self, model: ModelView, rpm: float, age_ns: int, now_ns: int) -> bool:
        def ago_ns(times: dict[int, Any]) -> int:
            return now_ns - int(times.get(model.index, -MOST_AGE_NS))

        quiet_ns = MOST_AGE_NS
        if not self._written:
            quiet_ns = min(max((3 * age_ns + ns(10_400)) // 100, LEAST_AGE_NS), MOST_AGE_NS)
        return ago_ns(self._placed_ns) >= RECENT_LOAD_NS and ago_ns(self._removed_ns) >= RECENT_UNLOAD_NS and \
            ago_ns(self._heavy_ns) >= quiet_ns and rpm <= LIGHT * self.copy_rpm
