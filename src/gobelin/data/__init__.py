"""Records: fields, data sets, lineage, splits, and how their cells are opened."""
