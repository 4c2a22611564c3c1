"""Saved networks whose numbers say more than their file holds. Oracle: every tensor that is made
on the way, as torch itself reports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gobelin.core import weights
from gobelin.core.errors import GobelinError
from gobelin.core.files import read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.embedding.encoders.characters import Characters
from gobelin.embedding.encoders.convolution import Convolution, FittedConvolution
from gobelin.embedding.encoders.series import Series
from gobelin.embedding.encoders.words import Bag, FittedWords, Words

MEGABYTE = 2**20


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(  # type: ignore[no-untyped-def]  # noqa: ANN204
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return out


def saved_words(folder: Path, runtime: Runtime) -> None:
    FittedWords(Words(hashes=64, width=4, hidden=8), Bag(64, 4, 8), runtime).save(folder)


def saved_convolution(folder: Path, runtime: Runtime) -> None:
    settings = Convolution(filters=4)
    FittedConvolution(settings, settings.network(), runtime).save(folder)


@pytest.mark.parametrize(
    ("encoder", "save", "key", "number"),
    [
        (Words, saved_words, "hashes", 2**24),
        (Words, saved_words, "hidden", 65536),
        (Words, saved_words, "width", 8192),
        (Convolution, saved_convolution, "filters", 512),
    ],
)
def test_no_more_is_made_than_the_file_holds(
    encoder: Any, save: Any, key: str, number: int, runtime: Runtime, tmp_path: Path
) -> None:
    save(tmp_path / "saved", runtime)
    path = tmp_path / "saved" / "config.json"
    with Largest() as made:
        encoder().load(tmp_path / "saved", runtime)
    assert made.bytes < MEGABYTE
    config = read_json(path)
    (config["settings"] if key in config["settings"] else config)[key] = number
    if key in config:
        config[key] = number
    write_json(path, config)
    with Largest() as made, pytest.raises(GobelinError, match=r"config\.json asks for \w+"):
        encoder().load(tmp_path / "saved", runtime)
    assert made.bytes < MEGABYTE


class Wide(nn.Module):
    """A network that computes a table from its settings."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("table", torch.ones(side, side), persistent=False)


def test_what_is_computed_beside_the_weights_is_bounded(tmp_path: Path) -> None:
    weights.save(tmp_path / "saved", {}, Wide(2), 1)
    config = weights.config_of(tmp_path / "saved", 1)
    assert weights.loaded(tmp_path / "saved", config, lambda: Wide(3)).table.shape == (3, 3)
    with Largest() as made, pytest.raises(GobelinError, match="asks for 38146 MB beside"):
        weights.loaded(tmp_path / "saved", config, lambda: Wide(100_000))
    assert made.bytes < MEGABYTE


def test_nobody_can_fit_a_saved_run_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    weights.save(run / "words", {}, Wide(2), 1)
    (run / "words" / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(GobelinError, match=r"damaged .* Delete it and run the command again\.$"):
        weights.loaded(run / "words", {}, lambda: Wide(2))
    for name in ("manifest.json", "settings.json"):
        write_json(run / name, {"files": {"settings.json": {}}})
    with pytest.raises(GobelinError, match=r"Use another copy of the saved run, or save .* again"):
        weights.loaded(run / "words", {}, lambda: Wide(2))
    with pytest.raises(GobelinError, match=r"format 1, this version reads 2\. Use another copy"):
        weights.config_of(run / "words", 2)


def test_arrays_without_a_network_are_compared_too(runtime: Runtime, tmp_path: Path) -> None:
    from gobelin.data.fields import Field
    from gobelin.embedding.encoders import TrainingCells

    field = Field("f", "characters", ("f",), "text")
    texts = TrainingCells([{"f": f"a text of {k}"} for k in range(20)])
    Characters(width=4, hashes=64).fit(texts, field, {}, runtime).save(tmp_path)
    config = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", config | {"hashes": 2**24})
    with pytest.raises(GobelinError, match="16777216 buckets of n-grams were expected"):
        Characters().load(tmp_path, runtime)
    field = Field("f", "series", ("f",), "series")
    windows = TrainingCells([{"f": [float(k), 1.0, 2.0, 3.0 * k]} for k in range(20)])
    (tmp_path / "series").mkdir()
    Series().fit(windows, field, {"f": "series"}, runtime).save(tmp_path / "series")
    config = read_json(tmp_path / "series" / "config.json")
    write_json(tmp_path / "series" / "config.json", config | {"channels": {"f": 10**9}})
    with pytest.raises(GobelinError, match="features were expected"):
        Series().load(tmp_path / "series", runtime)
