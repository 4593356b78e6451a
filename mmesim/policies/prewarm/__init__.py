"""Prewarm policies: what is loaded before it is asked for."""
