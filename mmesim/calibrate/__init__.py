"""Making and judging profiles: drives real servers and tools, fits what they measured, validates what was fitted."""
