"""Built-in policies, one a file, and the registry that finds them and a user's own by name.

A policy imports :mod:`mmesim.core`, NumPy and the standard library, and neither clock nor I/O: the same object
decides in simulation, replay and live. Short names stand in :mod:`mmesim.policies.registry`; nothing is registered by
importing.
"""
