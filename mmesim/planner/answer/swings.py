"""What the plan rests on: each assumed setting at either end of what it may be, the plan run again (a tornado).

One setting at a time, the same seeds. Settings that a scenario gives itself are varied too: nobody knows them exactly.
Ranges are those of facts known about the service (each with its source), or a stated guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mmesim.errors import InputError
from mmesim.planner.answer.probe import Probe, Seen, Variation
from mmesim.planner.plan.question import Question
from mmesim.planner.plan.trial import Trial
from mmesim.results.plan import Swing


@dataclass(frozen=True)
class Assumed:
    """One assumption and its ends."""

    setting: str
    low: str
    high: str
    source: str
    low_scaled: dict[str, float] = field(default_factory=dict)
    high_scaled: dict[str, float] = field(default_factory=dict)
    """Of resources (:mod:`mmesim.planner.runs.scaled`), in place of a setting."""
    only: str = ""
    """"autoscaled": has no effect on a fixed fleet that loses nothing."""


GUESS = "assumed"
SERVICE_TIMES = "service times"
ASSUMED = (
    Assumed("endpoint.storage.s3_connection_rate", "80MB/s", "95MB/s", "Amazon S3 guide: 85 to 90 MB/s a connection"),
    Assumed("endpoint.storage.s3_first_byte", "{law: lognormal, mean: 50ms, cv: 0.3}",
            "{law: lognormal, mean: 300ms, cv: 0.3}", "Amazon S3 guide: 100 to 200 ms; and beyond"),
    Assumed("endpoint.storage.extract_rate", "100MB/s", "500MB/s", GUESS),
    Assumed("endpoint.server.gpu_memory_threshold", "0.80", "0.95", "evictions seen at 45 to 95 % of the memory"),
    Assumed("endpoint.server.load_slowdown", "1", "5", "running inference seen 1 to 5 x slower during a load"),
    Assumed("endpoint.server.load_time_cv", "0", "0.5", GUESS),
    Assumed("endpoint.server.load_threads", "1", "8", "Triton's default 4; containers differ"),
    Assumed("endpoint.server.frontend_overhead", "2ms", "20ms", GUESS),
    Assumed("endpoint.provisioning.time", "240s", "900s", "300 to 360 s seen, up to 15 min guessed", only="autoscaled"),
    Assumed("load times", "half", "double", GUESS, {"loads": 2.0}, {"loads": 0.5}),
    Assumed("network", "half", "double", "baseline and burst rates differ by 2 to 10 x", {"network": 0.5},
            {"network": 2.0}),
)


def swings(question: Question, probe: Probe, error: float, source: str) -> list[Swing]:
    """Every assumption, the largest effect first; `error`: of the service times, a fraction, and where it is from."""
    times = Assumed(SERVICE_TIMES, f"-{error:.0%}", f"+{error:.0%}", source, {"compute": 1 / (1 - error)},
                    {"compute": 1 / (1 + error)})
    asked = [(one, _ends(question, probe.trial, one)) for one in (times, *ASSUMED)
             if not one.only or probe.trial.arm.autoscales]
    known = [(one, ends) for one, ends in asked if ends is not None]
    base, *seen = probe.see([Variation(), *(end for _, ends in known for end in ends)], "what it rests on")
    found = [_swing(one, base, *seen[2 * k:2 * k + 2]) for k, (one, _) in enumerate(known)]
    return sorted(found, key=_reach, reverse=True)


def _ends(question: Question, trial: Trial, assumed: Assumed) -> tuple[Variation, Variation] | None:
    """Both ends; None where the scenario does not allow one."""
    if assumed.low_scaled:
        return Variation(scaled=assumed.low_scaled), Variation(scaled=assumed.high_scaled)
    try:
        low, high = (_with(question, trial, f"{assumed.setting}={value}") for value in (assumed.low, assumed.high))
    except InputError:
        return None
    return low, high


def _with(question: Question, trial: Trial, change: str) -> Variation:
    changes = [f"{path}={value}" for path, value in trial.settings.items()]
    scenario = question.load([*changes, change])
    return Variation(trial=replace(trial, scenario=scenario))


def _swing(assumed: Assumed, base: Seen, low: Seen, high: Seen) -> Swing:
    target = base.worst
    return Swing(assumed.setting, assumed.source, assumed.low, assumed.high, target, base.values[target],
                 low.values[target], high.values[target], low.met, high.met)


def _reach(swing: Swing) -> float:
    """How far the target's value moves."""
    values = [value for value in (swing.value, swing.value_low, swing.value_high) if value is not None]
    return max(values, default=0.0) - min(values, default=0.0)


def failing(found: list[Swing]) -> Iterator[tuple[str, str]]:
    """Assumptions and the ends of them at which the plan misses the objective."""
    for swing in found:
        for end, met in ((swing.low, swing.met_low), (swing.high, swing.met_high)):
            if met is False:
                yield swing.setting, end
