"""The same models and traffic on other kinds of endpoints, and under commitments: arithmetic, nothing is simulated."""

from mmesim.planner.alternatives.commitments import commitments
from mmesim.planner.alternatives.components import inference_components
from mmesim.planner.alternatives.dedicated import dedicated
from mmesim.planner.alternatives.serverless import serverless

__all__ = ["commitments", "dedicated", "inference_components", "serverless"]
