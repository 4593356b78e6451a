"""The capacity planner's search: the cheapest fleet that meets the objective, by bounds and simulation."""
