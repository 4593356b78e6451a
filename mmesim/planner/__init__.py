"""Plans on top of the simulator: what to choose, and how sure one can be."""
