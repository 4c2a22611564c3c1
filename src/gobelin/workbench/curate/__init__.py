"""The verb `curate`: training labels that look wrong, new labels, the curated dataset.

Only training rows are checked and changed; validation and test rows stay as they are. A changed row
stays a real row: a column of its own, which no encoder reads, records the change. Where encoders
were tuned, only rows that tuning did not use are checked.
"""
