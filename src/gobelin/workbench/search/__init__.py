"""The verb `search`."""
