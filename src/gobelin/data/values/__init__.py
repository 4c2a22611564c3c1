"""One value in a cell, however the world writes it: numbers, dates, words, paths."""
