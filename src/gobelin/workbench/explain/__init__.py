"""The verb `explain`: which fields, and which parts of them, moved an answer."""
