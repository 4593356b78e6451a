"""The reasons of a plan: what limits it, how much it may grow, what it rests on, what else there is; and the words."""
