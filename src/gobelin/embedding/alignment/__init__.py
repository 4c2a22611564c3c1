"""The shared space: projections of every field's features."""
