"""Where an image comes from: marks, signatures (C2PA), keys."""
