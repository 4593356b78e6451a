"""What-if on history: what was recorded, the same simulated, how far the two agree, and what changes would have done.

    past (what was recorded) → replay (the scenario with its requests) → fidelity (both side by side) → effects
"""
