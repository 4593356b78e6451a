"""How `mmesim what-if` tells its answer: in the terminal, and as one page."""
