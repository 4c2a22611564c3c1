"""What there is to look at: exhibits, drawings, the page."""
