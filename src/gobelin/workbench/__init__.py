"""The verbs: one file or folder for each, on a run folder."""
