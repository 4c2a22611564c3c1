"""The one training loop: its limit, its looks at the way, its checkpoints."""
