"""Scenarios: what may be written in a scenario file, loading it all problems at once, building a run."""
