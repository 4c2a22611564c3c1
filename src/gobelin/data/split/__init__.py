"""Training, validation and test rows, and what is remembered of them."""
