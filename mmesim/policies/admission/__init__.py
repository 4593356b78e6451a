"""Admission policies: who is refused on arrival."""
