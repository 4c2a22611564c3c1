"""The verb `augment`."""
