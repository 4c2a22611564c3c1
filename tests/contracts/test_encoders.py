"""Every encoder that is found obeys the contract."""

from __future__ import annotations

import dataclasses
import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from solids import box

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Bid, Cell, Column, Field, Schema
from gobelin.data.image.images import png_bytes
from gobelin.data.mesh.meshes import ply_bytes
from gobelin.embedding.encoders import Encoder, FittedEncoder, Sample, TrainingCells, Tunable
from gobelin.embedding.features import Embedder
from gobelin.networks.pipelines.calls import quiet

RNG = np.random.default_rng(0)


def wav(samples: np.ndarray) -> bytes:
    """16 bits at 16 kHz, written by the standard library."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 3000).astype("<i2").tobytes())
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    """As numpy writes it."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


EXAMPLES: dict[str, list[Any]] = {  # a new kind of data adds six different values here
    "image": [png_bytes(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(6)],
    "text": [
        "a red flower",
        "two dogs in snow",
        "late train",
        "a glass of water",
        "old wooden house",
        "bright stone",
    ],
    "number": [1.0, 2.5, -3.0, 7.0, 7.5, 100.0],
    "category": ["a", "b", "a", "b", "c", "c"],
    "audio": [wav(RNG.normal(size=4000 + 100 * k) * np.hanning(4000 + 100 * k)) for k in range(6)],
    "series": [(RNG.normal(size=12 + k).cumsum() * 10**k).tolist() for k in range(6)],
    "place": ["48.9, 2.4", "45.8, 4.8", "51.5, -0.1", "35.7, 139.7", "34.7, 135.5", "-33.9, 151.2"],
    "date": ["2020-01-01", "2020-02-03", "2021-05-05", "1999-12-31", "2020-07-07", "2001-01-01"],
    "volume": [npy(RNG.normal(size=(9, 10 + k, 11)) * 10**k) for k in range(6)],
    "mesh": [ply_bytes(box((1, 1 + k, 2 + k**2))) for k in range(6)],
}
NAMES = catalog.names("encoders")
ONLY_IF_NAMED = ("place",)  # kinds that a column has only where the user says so


# Another image encoder, and a setting of it, of encoders that look at pictures.
OTHERS: dict[str, object] = {"network": "pixels", "network_settings": {"batch": 7}}
PLACE = ("model", "revision", "local_only")  # where a model is says nothing of what it does


def settings_of(name: str, folder: Path | None = None) -> Encoder:
    """folder: where a tiny model may be written for an encoder that opens one."""
    small: dict[str, object] = {"pixels": 32} if name == "image" else {}
    if folder and name.endswith("_model"):
        pytest.importorskip("transformers")
        import tiny_models

        write = {
            "image_model": "image_model",
            "text_model": "sentence_model",
            "audio_model": "audio_model",
        }[name]
        kind = {"image_model": ["clip"], "audio_model": ["wav2vec2"]}.get(name, [])
        with quiet():
            small["model"] = str(getattr(tiny_models, write)(folder / name, *kind))
    return catalog.build("encoders", name, small)


class Case:
    """An encoder fitted on one column of each of its kinds."""

    def __init__(self, name: str, runtime: Runtime, folder: Path) -> None:
        self.component, self.runtime = settings_of(name, folder), runtime
        self.kinds = {kind: kind for kind in self.component.kinds}
        self.field = Field("field", name, tuple(self.kinds), self.component.kinds[0])
        self.cells: list[Cell] = [{k: EXAMPLES[k][row] for k in self.kinds} for row in range(6)]
        try:
            self.fitted = self.fit(self.component)
        except MissingExtra as error:
            pytest.skip(str(error))

    def fit(self, component: Encoder) -> FittedEncoder:
        cells = TrainingCells([*self.cells, None], least_groups=1)  # six cells, no value twice
        return component.fit(cells, self.field, self.kinds, self.runtime)

    def embed(self, fitted: FittedEncoder, cells: list[Cell]) -> np.ndarray:
        return fitted.embed([fitted.decode(c, Path())[0] for c in cells])


@pytest.fixture(scope="module", params=NAMES)
def case(
    request: pytest.FixtureRequest, runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    return Case(request.param, runtime, tmp_path_factory.mktemp("models"))


def other(value: Any) -> Any:  # noqa: ANN401
    """Another setting of the same type."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        (most,) = (f.name for f in dataclasses.fields(value) if f.name.startswith("max_"))
        return dataclasses.replace(value, **{most: getattr(value, most) - 1})  # type: ignore[attr-defined, call-arg]
    if isinstance(value, tuple):
        return value[1:]
    if isinstance(value, dict):
        return {"characters": {"width": 5}}  # settings of a part
    if isinstance(value, str):
        return {"auto": "day_first", "y": "z"}.get(value) or f"{value}x"
    return (
        not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value / 2
    )


def test_is_what_the_contract_says(case: Case) -> None:
    assert isinstance(case.component, Encoder) and isinstance(case.fitted, FittedEncoder)
    assert (
        dataclasses.is_dataclass(case.component)
        and type(case.component).__dataclass_params__.frozen
    )  # type: ignore[attr-defined]
    assert set(case.component.kinds) <= set(EXAMPLES), "add examples of the new kind"
    assert all(
        type(case.component)() == type(case.component)(**{f.name: f.default})
        for f in dataclasses.fields(case.component)
        if f.default is not dataclasses.MISSING
    )


def test_every_kind_has_one_default() -> None:
    kinds = {k for n in NAMES for k in catalog.find("encoders", n).kinds}
    for kind in kinds:
        able = [
            catalog.find("encoders", n) for n in NAMES if kind in catalog.find("encoders", n).kinds
        ]
        assert sum(e.default for e in able) == 1 and len({e.flag for e in able}) == 1


def test_vectors(case: Case) -> None:
    found = case.embed(case.fitted, case.cells)
    assert (
        found.shape == (6, case.fitted.width)
        and found.dtype == np.float32
        and np.isfinite(found).all()
    )
    assert len(np.unique(found, axis=0)) == 6
    assert np.allclose(case.embed(case.fitted, case.cells), found, atol=1e-6)
    assert np.allclose(case.embed(case.fitted, case.cells[::-1]), found[::-1], atol=1e-4)
    assert np.allclose(case.embed(case.fitted, case.cells[2:3]), found[2:3], atol=1e-4)
    assert np.allclose(case.embed(case.fit(case.component), case.cells), found, atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_field_that_no_training_row_or_one_has(rows: int, case: Case, tmp_path: Path) -> None:
    cells = TrainingCells([*case.cells[:rows], *[None] * 6])
    fitted = case.component.fit(cells, case.field, case.kinds, case.runtime)
    fitted.save(tmp_path)
    found = case.embed(case.component.load(tmp_path, case.runtime), case.cells)
    assert found.shape == (6, fitted.width) and np.isfinite(found).all()


def test_saved_and_loaded_is_the_same(case: Case, tmp_path: Path) -> None:
    case.fitted.save(tmp_path)
    loaded = case.component.load(tmp_path, case.runtime)
    assert (
        loaded.fingerprint() == case.fitted.fingerprint() == case.fit(case.component).fingerprint()
    )
    assert loaded.width == case.fitted.width
    assert np.allclose(
        case.embed(loaded, case.cells), case.embed(case.fitted, case.cells), atol=1e-6
    )
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} <= {".json", ".safetensors"}


def test_what_can_be_tuned(case: Case, runtime: Runtime) -> None:
    """`forward` gives what `embed` gives; a small step of the module along the gradient of the
    features makes them larger."""
    if case.fitted.module is None:
        assert not isinstance(case.fitted, Tunable)
        return
    fitted = case.fit(case.component)
    assert isinstance(fitted, Tunable) and not fitted.module.training
    batch = [fitted.decode(c, Path())[0] for c in case.cells]
    before = fitted.forward(batch)
    assert (
        before.shape == (6, fitted.width) and before.dtype == torch.float32 and before.requires_grad
    )
    assert np.allclose(before.detach().numpy(), fitted.embed(batch), atol=1e-6)
    weights = [p for p in fitted.module.parameters() if p.requires_grad]
    slopes = torch.autograd.grad((before**2).sum(), weights, allow_unused=True)
    assert any(s is not None and bool(s.any()) for s in slopes)
    state = {k: v.clone() for k, v in fitted.module.state_dict().items()}
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            if slope is not None:
                weight += 1e-4 * slope / slope.norm().clamp_min(1e-12)
    assert (fitted.embed(batch) ** 2).sum() > (before**2).sum()
    fitted.module.load_state_dict(state)  # all that training changes lies there
    assert np.allclose(fitted.embed(batch), before.detach().numpy(), atol=1e-6)


def test_other_settings_have_another_fingerprint(case: Case) -> None:
    prints = {case.fitted.fingerprint()}
    fields = [f for f in dataclasses.fields(case.component) if f.name not in PLACE]  # type: ignore[arg-type]
    for f in fields:
        changed = dataclasses.replace(
            case.component,
            **{f.name: OTHERS.get(f.name) or other(getattr(case.component, f.name))},
        )  # type: ignore[type-var]
        prints.add(case.fit(changed).fingerprint())
    assert len(prints) == 1 + len(fields)


def test_keys_name_contents(case: Case) -> None:
    keys = [case.fitted.key(c, Path()) for c in case.cells]
    assert {len(k) for k in keys} == {16} and len(set(keys)) == 6
    assert keys == [case.fitted.key(dict(c), Path()) for c in case.cells]


def test_missing_cells_are_absent_and_zero(case: Case) -> None:
    table = pa.table({k: [EXAMPLES[k][0], None, EXAMPLES[k][2]] for k in case.kinds})
    schema = Schema(tuple(Column(k, k) for k in case.kinds), (case.field,))
    found = Embedder(schema, {"field": case.fitted}).embed(Dataset(table, Path()))
    assert found.present[:, 0].tolist() == [True, False, True]
    assert not found.features["field"][1].any() and found.features["field"][0].any()
    assert np.allclose(
        found.features["field"][[0, 2]],
        case.embed(case.fitted, [case.cells[0], case.cells[2]]),
        atol=1e-4,
    )


@pytest.mark.parametrize("name", NAMES)
def test_bids(name: str) -> None:
    encoder = catalog.find("encoders", name)
    for kind, values in EXAMPLES.items():
        bid = encoder.bid(Sample("x", tuple(values * 5), 30, Path()))
        assert bid is None or (
            isinstance(bid, Bid)
            and bid.kind in encoder.kinds
            and 0 <= bid.confidence <= 1
            and bid.reason
        )
        if kind in encoder.kinds and encoder.default and kind not in ONLY_IF_NAMED:
            assert bid is not None
    assert encoder.bid(Sample("x", (), 10, Path())) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_query_that_cant_be_read_is_refused(name: str) -> None:
    component = settings_of(name)
    with pytest.raises(GobelinError):
        component.parse(
            " " if component.flag not in ("image", "mesh", "volume") else "no such file.png",
            Field("f", name, ("a",), component.kinds[0]),
        )
