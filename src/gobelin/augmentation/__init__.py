"""Did generated images help? The study: arms, settings, verdict and what to try next."""
