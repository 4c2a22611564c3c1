"""The command line and what it prints. No logic of its own."""
