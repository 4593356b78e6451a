"""`python -m mmesim`."""

from mmesim.cli import main

main()
