"""Cells become vectors of one shared space; search in that space."""
