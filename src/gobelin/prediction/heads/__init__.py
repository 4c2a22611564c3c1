"""The small networks that predict from features, and how many of them are trained together."""
