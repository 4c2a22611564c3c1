"""Pipelines of diffusers: opened, checked, called, and tuned by a few added weights."""
