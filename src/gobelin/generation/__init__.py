"""Conditions become images."""
