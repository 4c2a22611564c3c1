"""The verb `curate`: which training labels look wrong, which can be given, and the curated dataset.

Only training rows are looked at and changed; validation and test rows are handed on as they are. A
changed row stays a real row: what was changed stands beside it in a column of its own, which no
encoder reads. Of a run with tuned encoders only the rows that tuning never saw are looked at.
"""
