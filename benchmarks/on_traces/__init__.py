"""Policies on real traces: worlds made of traces and measured profiles, comparisons in them, claims of the literature."""
