"""Search in the shared space: the rows of a run, filters, nearness, and how well it works."""
