"""The report of a plan: one page, its figures as files, and the answer in the terminal."""
