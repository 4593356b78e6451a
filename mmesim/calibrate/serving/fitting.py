"""Which of many points make one model's fit, and the fit of a group.

Points of one (model, backend, precision, GPU, input) belong together. S(b) comes from its offline points, or, where
there are none (Model Analyzer's sweeps), from those with one request in flight. Of the loaded points one setting of the
server is fitted, that with the most of them, and of these the lowest concurrencies, as `mmesim profile validate` does:
a profile then has the errors that are found there. Rows that Little's law refutes are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmesim.calibrate.serving.curve import BatchCurve, offline_curve
from mmesim.calibrate.serving.fit import ServingFit, fit_serving
from mmesim.calibrate.serving.groups import GIVEN, Group, by_model, is_closed_loop, setting
from mmesim.profile.points import OperatingPoint

NO_ALONE = "no point with one request in flight: perf_analyzer -m MODEL -b 1 --concurrency-range 1, and with other -b"

NO_LATENCY = "without a mean latency (Model Analyzer: import the checkpoint, or add perf_latency_avg to the CSV)"


@dataclass(frozen=True)
class ModelFit:
    """What a group's points say; `fit` is None where no point was taken under load."""

    group: Group
    curve: BatchCurve
    fit: ServingFit | None

    @property
    def items(self) -> int:
        """Items in one request of the loaded points; 1 without any."""
        return self.fit.setting.items if self.fit else 1


def fittable(points: Iterable[OperatingPoint], *, given: int = GIVEN) -> tuple[list[Group], list[str]]:
    """(groups in order of appearance, remarks on what was left out); `given`: loaded points that a fit may see."""
    groups: list[Group] = []
    remarks: list[str] = []
    for key, rows in by_model(points).items():
        group = _group(key, rows, given, remarks)
        if group.alone:
            groups.append(group)
        else:
            remarks.append(f"{group.name}: {NO_ALONE}")
    return groups, remarks


def _group(key: Sequence[str], rows: Sequence[OperatingPoint], given: int, remarks: list[str]) -> Group:
    name = "/".join(filter(None, key))
    sound = [row for row in rows if row.is_sound]
    single = [row for row in sound if not row.co_located]
    offline = [row for row in single if row.scenario == "offline"]
    loaded = [row for row in single if row.scenario != "offline" and _is_loaded(row, bool(offline))]
    chosen = _commonest(loaded)
    alone = [row for row in offline or _one_in_flight(single, chosen) if _has_latency(row)]
    for number, why in ((len(rows) - len(sound), "that fail Little's law (a measurement cut short)"),
                        (len(sound) - len(single), "beside other models (they tell of interference, not of one model)"),
                        (len(loaded) - len(chosen), "of other settings or request sizes than the fitted one"),
                        (sum(row.concurrency is None for row in single), "of an open loop"),
                        (sum(not _has_latency(row) for row in single), NO_LATENCY)):
        if number:
            remarks.append(f"{name}: left out {number} of {len(rows)} points, {why}")
    return Group(*key, alone=tuple(sorted(alone, key=lambda row: row.batch_size)), given=given,
                 loaded=tuple(sorted(chosen, key=lambda row: row.concurrency or 0)))


def _has_latency(row: OperatingPoint) -> bool:
    return bool(row.compute_s or row.latency_s)


def _is_loaded(row: OperatingPoint, has_offline: bool) -> bool:
    """A closed loop; one request in flight is a load only where others give S(b)."""
    return is_closed_loop(row) and (has_offline or row.concurrency != 1)


def _commonest(loaded: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """The points of the setting that has most of them; the first one of equals."""
    if not loaded:
        return []
    most, _ = Counter((row.variant, setting(row)) for row in loaded).most_common(1)[0]
    return [row for row in loaded if (row.variant, setting(row)) == most]


def _one_in_flight(rows: Sequence[OperatingPoint], chosen: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Points taken with one request in flight, on the instances of the chosen ones if there are such."""
    alone = [row for row in rows if row.concurrency == 1]
    same = [row for row in alone if chosen and row.instance_count == chosen[0].instance_count]
    return same or alone


def fit_model(group: Group) -> ModelFit:
    """The fit of one group."""
    curve = offline_curve(group.alone)
    if not group.seen:
        return ModelFit(group, curve, None)
    fit = fit_serving(curve, setting(group.seen[0]), group.seen, backend=group.backend,
                      whole_latency=group.whole_latency)
    return ModelFit(group, curve, fit)
