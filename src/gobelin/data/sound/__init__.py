"""Sounds in cells, as samples and as mel bands."""
