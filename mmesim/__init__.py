"""mmesim: discrete-event simulator and capacity planner for multi-model GPU endpoints."""

__version__ = "0.1.0"
