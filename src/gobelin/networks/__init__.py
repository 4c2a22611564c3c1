"""Networks that generators, encoders and fusions share, and the one loop that trains them."""
