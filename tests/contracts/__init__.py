"""Contract suites: each runs over every component that the catalog finds."""
