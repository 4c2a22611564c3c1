"""Claims and their certainty: findings, intervals, comparisons, verdicts."""
