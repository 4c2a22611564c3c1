"""What the flag of a query takes on the command line, and what that means."""

from __future__ import annotations

QUERIES = {
    "audio": ("FILE", "A sound file."),
    "image": ("FILE", "An image file."),
    "mesh": ("FILE", "A mesh file."),
    "row": ("COL=VALUE,...", "Columns of numbers, categories and dates."),
    "series": ("N,N,...", "Numbers in their order, or a file of them."),
    "text": ("WORDS", "A text."),
    "volume": ("FILE", "A volume file."),
}
