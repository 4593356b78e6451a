"""Eviction policies: what leaves a memory or a disk."""
