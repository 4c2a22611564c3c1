"""The machine and the disk. Nothing here knows data or models."""
