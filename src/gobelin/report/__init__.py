"""The report of a run: exhibits, drawings, the page."""
