"""What a trace is like: its figures (`describe`), its locality, and a synthetic workload with the same (`fit`).

Begin with :mod:`mmesim.workload.analysis.recorded` (a whole trace as arrays) and
:mod:`mmesim.workload.analysis.description` (every figure with its definition).
"""
