"""Fields become answers."""
