"""`mmesim profile analyze`: measures models on a real Triton server, step by step, into a run folder and profiles.

``settings`` what is to be measured; ``plan`` the steps; ``run`` does those that are not done yet; ``bench`` the servers
they use; one module for each kind of measurement (``grid``, ``loads``, ``memory``, ``sharing``, ``files``);
``assemble`` makes profiles of the results.
"""

from mmesim.calibrate.analyze.plan import Plan, Step, make_plan
from mmesim.calibrate.analyze.run import Progress, run_plan
from mmesim.calibrate.analyze.settings import KINDS, AnalyzeSettings

__all__ = ["KINDS", "AnalyzeSettings", "Plan", "Progress", "Step", "make_plan", "run_plan"]
