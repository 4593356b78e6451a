"""Whether an objective is met, beyond the noise of the seeds: the rule of `mmesim run --check` and of every plan."""

from mmesim.planner.check.rule import found, status_of, verdicts

__all__ = ["found", "status_of", "verdicts"]
