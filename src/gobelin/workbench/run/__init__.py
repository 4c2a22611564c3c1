"""What a run has made so far."""
