"""The filter against scikit-learn's ridge regression and a planted kernel; a velocity that starts
from it against its formula."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from sklearn.linear_model import Ridge

from gobelin.networks.flow_path import Velocity
from gobelin.networks.linear_filter import FilteredVelocity, LinearFilter


def test_a_planted_kernel_is_found() -> None:
    """An image that is a source correlated with a kernel, borders repeated, plus a constant."""
    rng = np.random.default_rng(0)
    source = rng.uniform(-1, 1, (12, 16, 16))
    kernel = rng.normal(size=(5, 5)) / 5
    image = np.stack([ndimage.correlate(s, kernel, mode="nearest") for s in source]) + 0.1
    one, other = (torch.from_numpy(x[:, None]).float() for x in (source, image))
    found = LinearFilter(1, 5)
    found.learn(one, other)
    assert np.abs(found.weight[0, 0].numpy() - kernel).max() < 0.01
    assert abs(float(found.bias) - 0.1) < 0.001
    assert float((found(one) - other).abs().max()) < 0.05


def test_it_is_the_ridge_regression_of_the_windows() -> None:
    torch.manual_seed(0)
    source, image = torch.randn(20, 2, 6, 7), torch.randn(20, 2, 6, 7)
    found = LinearFilter(2, 3)
    found.learn(source, image)
    wide = np.pad(source.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = [
        wide[n, :, y : y + 3, x : x + 3].ravel()
        for n in range(20)
        for y in range(6)
        for x in range(7)
    ]
    answers = image.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    oracle = Ridge(alpha=1.0).fit(np.stack(rows), answers)
    assert np.allclose(found.weight.reshape(2, -1).numpy(), oracle.coef_, atol=1e-4)
    assert np.allclose(found.bias.numpy(), oracle.intercept_, atol=1e-4)


class _Nothing(torch.nn.Module):
    def forward(self, signal: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(signal)


def test_an_untrained_velocity_ends_at_the_filtered_source() -> None:
    """One evaluation from noise u at time 0: u + v = m where the network is 0, with m the filtered
    source where it is shown, and the mean image elsewhere."""
    torch.manual_seed(1)
    source, image = torch.rand(8, 3, 16, 16) * 2 - 1, torch.rand(8, 3, 16, 16) * 2 - 1
    velocity = FilteredVelocity(_Nothing(), torch.nn.Identity(), (3, 16, 16), 3)
    velocity.standardise(image, np.arange(8), 1)
    mean = velocity.centre.clone()
    velocity.learn(source, image, np.arange(8))
    shown = torch.tensor([1.0, 0.0] * 4)[:, None, None, None].expand(8, 1, 16, 16)
    beside = torch.cat([torch.zeros(8, 4, 16, 16), source * shown, shown], 1)
    noise, start = torch.randn(8, 3, 16, 16), torch.zeros(8)
    end = noise + velocity(noise, start, torch.zeros(8, 1), beside)
    assert torch.allclose(end[::2], velocity.filter(source)[::2], atol=1e-5)
    assert torch.allclose(end[1::2], mean.expand(4, -1, -1, -1), atol=1e-5)
    left = (image - velocity.filter(source)).square().mean().sqrt()
    assert abs(float(velocity.spread / left) - 1) < 0.15  # it is rounded
    plain = Velocity(_Nothing(), torch.nn.Identity(), (3, 16, 16))
    assert not [key for key in plain.state_dict() if "filter" in key]
