"""Audio towers on tiny saved models. Oracle: transformers' own feature extractor and model, one
clip at a time."""

from __future__ import annotations

import dataclasses
import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")
pytest.importorskip("soundfile")

from tiny_models import audio_model  # noqa: E402

from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.fields import Field  # noqa: E402
from gobelin.embedding.encoders.audio_model import AudioModel, FittedAudioModel  # noqa: E402
from gobelin.networks.pipelines.calls import quiet  # noqa: E402

KINDS = ("clap", "whisper", "ast", "wav2vec2")
FIELD = Field("sound", "audio_model", ("a",), "audio")
SECONDS = (0.5, 0.73, 0.98)  # shorter than what any of the models takes at once


@pytest.fixture(scope="module", params=KINDS)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    with quiet():
        return request.param, audio_model(
            tmp_path_factory.mktemp("models") / request.param, request.param
        )


def opened(folder: Path, runtime: Runtime, **settings: object) -> FittedAudioModel:
    return AudioModel(str(folder), **settings).fit([], FIELD, {}, runtime)  # type: ignore[arg-type]


def waves(rate: int, *seconds: float) -> list[np.ndarray]:
    """Sweeps whose pitch grows with their length, rounded to the 16 bits of a file."""
    times = [np.arange(round(s * rate)) / rate for s in seconds]
    return [
        np.rint(16000 * np.sin(2 * np.pi * (200 + 900 * t[-1]) * t * (1 + t))) / 32768
        for t in times
    ]


def wav(samples: np.ndarray, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.rint(samples * 32768).astype("<i2").tobytes())
    return out.getvalue()


def coded(encoder: FittedAudioModel, *cells: object) -> np.ndarray:
    return encoder.embed([encoder.decode({"a": c}, Path())[0] for c in cells])


def theirs(kind: str, folder: Path, sounds: list[np.ndarray], rate: int) -> np.ndarray:
    with quiet(), torch.no_grad():
        extract = transformers.AutoFeatureExtractor.from_pretrained(folder)
        network = transformers.AutoModel.from_pretrained(folder).eval()
        rows = []
        for sound in sounds:
            given = extract(sound.astype(np.float32), sampling_rate=rate, return_tensors="pt")
            if kind == "clap":
                rows.append(
                    network.get_audio_features(
                        input_features=given["input_features"]
                    ).pooler_output[0]
                )
            elif (
                kind == "whisper"
            ):  # 160 samples a frame, two frames a step; the rest of the two seconds is filling
                last = network.get_encoder()(given["input_features"]).last_hidden_state[0]
                rows.append(last[: int(np.ceil(len(sound) / 320))].mean(0))
            elif kind == "ast":
                rows.append(network(given["input_values"]).pooler_output[0])
            else:
                rows.append(network(given["input_values"]).last_hidden_state[0].mean(0))
    return torch.stack(rows).numpy()


def test_vectors_are_those_of_transformers(saved: tuple[str, Path], runtime: Runtime) -> None:
    kind, folder = saved
    encoder = opened(folder, runtime)
    sounds = waves(encoder.rate, *SECONDS)
    expected, files = (
        theirs(kind, folder, sounds, encoder.rate),
        [wav(s, encoder.rate) for s in sounds],
    )
    found = coded(encoder, *files)
    assert (
        found.shape == (3, encoder.width)
        and found.dtype == np.float32
        and expected.std(0).max() > 1e-2
    )
    assert np.allclose(found, expected, atol=1e-4)
    assert np.allclose(
        coded(encoder, files[:2], files[2]), [expected[:2].mean(0), expected[2]], atol=1e-4
    )


def test_a_long_sound_is_the_mean_of_its_parts(saved: tuple[str, Path], runtime: Runtime) -> None:
    encoder = opened(saved[1], runtime, seconds=6.0)
    sound = waves(encoder.rate, 5.0)[0]
    parts = np.array_split(sound, int(np.ceil(len(sound) / encoder.longest)))
    alone = np.concatenate([coded(encoder, wav(p, encoder.rate)) for p in parts])
    assert (len(parts) > 1) == (saved[0] != "wav2vec2")  # that one takes whatever is read
    assert np.allclose(coded(encoder, wav(sound, encoder.rate))[0], alone.mean(0), atol=1e-4)


def test_batches_and_order_change_nothing_and_any_sound_is_taken(
    saved: tuple[str, Path], runtime: Runtime
) -> None:
    for precision, most in (("float32", 1e-4), ("bfloat16", 0.05)):
        chosen = dataclasses.replace(runtime, precision=precision)
        one, many = (opened(saved[1], chosen, batch=b) for b in (1, 64))
        sounds = [
            *waves(8000, 0.5, 0.7, 0.5, 3.0),
            np.zeros(1),
            np.zeros(4000),
        ]  # one sample, silence
        files = [wav(s, 8000) for s in sounds]
        rows = coded(many, *files)
        scale = np.abs(rows).max()
        assert np.isfinite(rows).all() and np.abs(coded(one, *files) - rows).max() < most * scale
        assert np.abs(coded(many, *files[::-1])[::-1] - rows).max() < most * scale
