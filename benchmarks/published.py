"""Figures that others have published, with their source. They stand beside ours in a table, for
scale; nothing here was measured by us."""

from __future__ import annotations

# Accuracy of a logistic regression that learned from generated images alone, read on real ones.
# Dockhorn, Cao, Vahdat & Kreis 2023, "Differentially Private Diffusion Models", TMLR, table 1
# (arXiv 2210.09929), delta 1e-5; they give the figures of DP-MERF from earlier papers.
PRIVATE_IMAGES_SOURCE = "Dockhorn et al. 2023, table 1"
PRIVATE_IMAGES = (  # (set and method, epsilon, accuracy)
    ("MNIST: DP-MERF (Harder et al. 2021)", "10", 0.794),
    ("MNIST: diffusion by DP-SGD (Dockhorn et al. 2023)", "1", 0.867),
    ("MNIST: diffusion by DP-SGD (Dockhorn et al. 2023)", "10", 0.908),
    ("Fashion-MNIST: DP-MERF (Harder et al. 2021)", "10", 0.755),
    ("Fashion-MNIST: diffusion by DP-SGD (Dockhorn et al. 2023)", "1", 0.763),
    ("Fashion-MNIST: diffusion by DP-SGD (Dockhorn et al. 2023)", "10", 0.811),
)
