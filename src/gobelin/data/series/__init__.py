"""Series of measurements: windows, their dates, and when a value was known."""
