"""The tables of README.md and docs, one function each; `benchmarks/readme.py` writes them."""
