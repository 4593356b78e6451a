"""Policies on real traces: worlds of traces and measured profiles, comparisons in them, claims of the literature."""
