"""The report of a comparison: one page, and its figures as files."""
