"""Meshes in cells: opened, drawn, turned into voxels, written."""
