"""Images in cells: told by their bytes, opened, and drawings (SVG) as pixels."""
