"""Datasets: rows, fields, targets, lineage, splits, and how cells are opened."""
