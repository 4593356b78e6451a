"""What arithmetic says of a fleet before anything is simulated: bounds that are proofs, estimates that only guide."""

from mmesim.planner.analytic.certain import Need, least_cost_per_hour, least_instances
from mmesim.planner.analytic.guess import Estimate, estimate, likely_instances, needs
from mmesim.planner.analytic.workload import Demand, demand

__all__ = ["Demand", "Estimate", "Need", "demand", "estimate", "least_cost_per_hour", "least_instances",
           "likely_instances", "needs"]
