"""Requests as arrays: arrivals, popularity, sessions, traces and closed-loop clients.

Begin with :mod:`mmesim.workload.types` (what goes in and comes out) and :mod:`mmesim.workload.build` (how it is put
together).
"""
