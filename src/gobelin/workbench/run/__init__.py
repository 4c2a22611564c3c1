"""A run as a chain of values, stored in its run folder."""
