"""Which parts of a row moved its answer: Shapley values, occlusion, and how faithful they are."""
