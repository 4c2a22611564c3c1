"""Encoders trained further on the task."""
