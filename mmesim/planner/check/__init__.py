"""Whether an objective is met, beyond the noise of the seeds: the rule of `mmesim run --check` and of every plan."""

from mmesim.planner.check.rule import decided, found, verdicts

__all__ = ["decided", "found", "verdicts"]
