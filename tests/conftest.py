"""What several tests share: one small planted data set, read and sniffed once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read as numpy, torch and tokenizers load, here and in every process that a test starts. On one
# thread networks as small as these are faster, and sums keep their order.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}

import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from processor import PRECISION, RUNTIME  # noqa: E402
from tiny_pipelines import class_pipeline, text_pipeline  # noqa: E402
from workers import longest_first, scheduler, shared  # noqa: E402

from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.dataset import Dataset  # noqa: E402
from gobelin.data.fields import Schema, Target  # noqa: E402
from gobelin.data.read import read  # noqa: E402
from gobelin.data.samples.shapes import Shapes  # noqa: E402
from gobelin.data.targets import target_of  # noqa: E402
from gobelin.embedding.columns import schema  # noqa: E402
from gobelin.embedding.encoders import TrainingCells  # noqa: E402
from gobelin.embedding.features import Embedder  # noqa: E402

# No test depends on how fast the machine is: hypothesis fails one input that takes 200 ms, or slow
# making of inputs, unless it is told not to.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
CHOICES = schema.Choices(encoders={"image": {"name": "pixels"}, "text": {"name": "characters"}})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return scheduler(config, log)


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    return RUNTIME.apply()


@pytest.fixture(scope="session", autouse=True)
def hurry() -> Iterator[None]:
    """One thread unless a test asks for more, and one precision, also where a run chooses: both
    change what is trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gobelin.core.machine.cores", lambda: 1)
        patch.setattr("gobelin.core.machine.THREADS", 1)
        patch.setattr("gobelin.core.machine._bfloat16_pays", lambda device: PRECISION == "bfloat16")
        torch.set_num_threads(1)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads end with the test that asked for them."""
    yield
    if torch.get_num_threads() > 1:
        Runtime(threads=1).apply()


@pytest.fixture(scope="session")
def shapes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Shapes(rows=120).write(tmp_path_factory.mktemp("data") / "shapes", seed=0)


@pytest.fixture(scope="session")
def shapes(shapes_file: Path) -> Dataset:
    return read(shapes_file).with_ids("id")


@pytest.fixture(scope="session")
def shapes_schema(shapes: Dataset) -> Schema:
    return schema.infer(shapes, "shape", CHOICES)


@pytest.fixture(scope="session")
def shapes_target(shapes: Dataset, shapes_schema: Schema) -> Target:
    return target_of(shapes, shapes_schema)


@pytest.fixture(scope="session")
def shapes_reader(shapes: Dataset, shapes_schema: Schema, runtime: Runtime) -> Embedder:
    """The weightless encoders, fitted on the first 90 rows; no cache."""
    train, encoders = shapes.rows(range(90)), {}
    for field in shapes_schema.fields:
        kinds = {c: shapes_schema.kind(c) for c in field.columns}
        component = schema.build_encoder(field.encoder, CHOICES)
        encoders[field.name] = component.fit(
            TrainingCells(train.cells(field)), field, kinds, runtime
        )
    return Embedder(shapes_schema, encoders)


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of two tiny pretrained pipelines: text -> image and class -> image."""
    pytest.importorskip("diffusers")

    def make(folder: Path) -> None:
        text_pipeline(folder / "text"), class_pipeline(folder / "class")

    folder = shared(tmp_path_factory, "pipelines", make)
    return {"text": folder / "text", "class": folder / "class"}
