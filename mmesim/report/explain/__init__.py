"""Explanations of a run, from its journal: why a request was slow, a model evicted, the fleet scaled."""
