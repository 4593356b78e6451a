"""Parity: the same scenario on real servers and in the simulator, side by side."""
