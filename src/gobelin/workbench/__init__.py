"""One file a verb, on a run folder."""
