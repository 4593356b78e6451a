"""Held-out days: plans made on the first part of a real trace, judged on the rest, beside reactive baselines and the
plan that the rest itself would have got."""
