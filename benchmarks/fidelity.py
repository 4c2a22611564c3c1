"""How near two images are, pixel by pixel: PSNR, and SSIM as Wang et al. 2004 define it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SIGMA, RADIUS, TOP = (
    1.5,
    5,
    255.0,
)  # an 11 x 11 window, section III.B of the paper; the range of the levels
C_1, C_2 = (0.01 * TOP) ** 2, (0.03 * TOP) ** 2


def psnr(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float64 [N] decibels, 10 log10(255^2 / mean squared error), of uint8 [N, H, W, C] twice; at
    most 100."""
    error = ((one.astype(np.float64) - other) ** 2).mean((1, 2, 3))
    return np.minimum(100.0, 10 * np.log10(TOP**2 / np.maximum(error, 1e-12)))


def ssim(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float64 [N] in -1 .. 1 of uint8 [N, H, W, C] twice, H and W at least 11 (Wang et al. 2004,
    equation 13 with the means, variances and covariance of equations 14 to 16 in a Gaussian window;
    the mean over all whole windows and channels)."""
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    variance_x, variance_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + C_1) * (2 * covariance + C_2)
    bottom = (mean_x**2 + mean_y**2 + C_1) * (variance_x + variance_y + C_2)
    return (top / bottom).mean((1, 2, 3))


def _window(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] -> [N, H - 10, W - 10, C]: the weighted mean in every window that lies
    inside."""
    smooth = ndimage.gaussian_filter(images, (0, SIGMA, SIGMA, 0), truncate=RADIUS / SIGMA)
    return smooth[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
