"""The capacity planner: the cheapest fleet that meets the objective, found by bounds and simulation, with its reasons."""
