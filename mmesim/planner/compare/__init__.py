"""Variants of one scenario under common random numbers: which is better, by how much, and how sure that is.

    variants (what is compared) → cells (one run each, stored) → assemble (intervals, ranking) → verdicts (words)
"""
