"""What is claimed and how sure it is: findings, intervals, comparisons, verdicts."""
