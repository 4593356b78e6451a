"""Many points of one scenario's settings, each with several seeds: the table of what comes of them.

    design (which points) → points (loaded and checked) → run (cells, stored) → tables (a row a run, a row a point)
"""
