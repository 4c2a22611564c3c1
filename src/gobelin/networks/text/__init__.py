"""Networks and counts that read texts."""
