"""Machine and disk: devices, files, stages, settings. This package knows no data and no models."""
