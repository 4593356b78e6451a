"""Lower bounds: the best that could be done with a scenario's requests, known beforehand (docs/bounds.md)."""

from mmesim.planner.bounds.request_bound import RequestBound, bound_curve, bound_of, most_instances, no_bound_because

__all__ = ["RequestBound", "bound_curve", "bound_of", "most_instances", "no_bound_because"]
