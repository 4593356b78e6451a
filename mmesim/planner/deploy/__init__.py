"""From a chosen scenario to files that deploy it: on SageMaker in three ways, and with `mmesim live serve`."""

from mmesim.planner.deploy.write import write_deployment

__all__ = ["write_deployment"]
