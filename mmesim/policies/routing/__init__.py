"""Routing policies: which copy serves."""
