"""The data plane: moves every request. See :mod:`mmesim.dataplane.api` for its exact rules."""
