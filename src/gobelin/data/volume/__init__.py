"""Volumes in cells: grids of voxels, NIfTI, planes, label maps of the brain."""
