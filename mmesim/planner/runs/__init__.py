"""Runs that are kept: what a run depends on (digest), what is kept of it (cells), and their making (orders)."""
