"""The verb `save`, and saved runs."""
