"""Text towers on tiny saved models and on MiniLM. Oracles: transformers called on one text at a
time, pooling in closed form, and sentence-transformers on the same folder where it is installed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")

from tiny_models import image_model, sentence_model  # noqa: E402

from gobelin.core.errors import GobelinError, MissingExtra  # noqa: E402
from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.fields import Field  # noqa: E402
from gobelin.embedding.encoders.text_model import FittedTextModel, TextModel  # noqa: E402
from gobelin.networks.pipelines.calls import quiet  # noqa: E402
from gobelin.networks.text.sentences import MODES, UNKNOWN_LETTERS, pooling  # noqa: E402

TEXTS = [
    "red dog",
    "two old houses in the snow",
    "a",
    "the blue train in the old house",
    "zq xw",
    "snow " * 40,
]
FIELD = Field("caption", "text_model", ("t",), "text")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    mean = {"pooling_mode_mean_tokens": True}
    with quiet():
        return {
            "plain": sentence_model(home / "plain"),
            "unit": sentence_model(home / "unit", mean, unit=True),
            "cls": sentence_model(
                home / "cls", {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}
            ),
            "dense": sentence_model(home / "dense", mean, dense=True),
            "clip": image_model(home / "clip", "clip"),
            "siglip": image_model(home / "siglip", "siglip"),
        }


def opened(folder: object, runtime: Runtime, **settings: object) -> FittedTextModel:
    return TextModel(str(folder), **settings).fit([], FIELD, {}, runtime)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def minilm(runtime: Runtime) -> FittedTextModel:
    try:
        return opened("minilm", runtime)
    except MissingExtra as error:
        pytest.skip(str(error))


def coded(encoder: FittedTextModel, *cells: object) -> np.ndarray:
    return encoder.embed([encoder.decode({"t": c}, Path())[0] for c in cells])


def words(folder: Path, limit: int) -> list[np.ndarray]:
    """[T, D] for each text: transformers' word vectors, one text at a time."""
    with quiet(), torch.no_grad():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        network = transformers.AutoModel.from_pretrained(folder).eval()
        given = [
            tokenizer(t, return_tensors="pt", truncation=True, max_length=limit) for t in TEXTS
        ]
        return [network(**g).last_hidden_state[0].numpy() for g in given]


def test_vectors_are_means_of_the_words(folders: dict[str, Path], runtime: Runtime) -> None:
    own = words(folders["plain"], 32)
    assert np.allclose(
        coded(opened(folders["plain"], runtime), *TEXTS), [w.mean(0) for w in own], atol=1e-5
    )
    short = words(folders["plain"], 12)  # the same weights, cut as the folder of the others says
    unit = np.array([w.mean(0) / np.linalg.norm(w.mean(0)) for w in short])
    assert np.allclose(coded(opened(folders["unit"], runtime), *TEXTS), unit, atol=1e-5)
    both = np.array([np.concatenate([w[0], w.max(0)]) for w in short])
    assert np.allclose(coded(opened(folders["cls"], runtime), *TEXTS), both, atol=1e-5)
    several = coded(opened(folders["unit"], runtime), TEXTS[:3], TEXTS[4])
    assert np.allclose(several, [unit[:3].mean(0), unit[4]], atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_towers_give_their_projection(
    kind: str, folders: dict[str, Path], runtime: Runtime
) -> None:
    how = {
        "max_length": 16,
        "truncation": True,
        "return_tensors": "pt",
        "padding": "max_length" if kind == "siglip" else False,
    }
    with quiet(), torch.no_grad():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
        network = transformers.AutoModel.from_pretrained(folders[kind]).eval()
        given = ["input_ids"] if kind == "siglip" else ["input_ids", "attention_mask"]
        tokens = [tokenizer(t, **how) for t in TEXTS]
        rows = torch.cat(
            [network.get_text_features(**{g: t[g] for g in given}).pooler_output for t in tokens]
        ).numpy()
    encoder = opened(folders[kind], runtime)
    assert np.allclose(coded(encoder, *TEXTS), rows, atol=1e-5) and rows.std(0).min() > 1e-3
    assert not any("vision" in name for name, _ in encoder.module.named_parameters())


@pytest.mark.parametrize("mode", sorted(MODES.values()))
def test_pooling_in_closed_form(mode: str) -> None:
    x, counts = np.random.default_rng(0).normal(size=(3, 5, 4)), [5, 2, 1]
    mask = np.array([[k < c for k in range(5)] for c in counts]).astype(np.int64)
    expected = []
    for there in (row[:c] for row, c in zip(x, counts, strict=True)):
        weight = np.arange(1, len(there) + 1)[:, None]
        expected.append(
            {
                "cls": there[0],
                "max": there.max(0),
                "mean": there.mean(0),
                "lasttoken": there[-1],
                "mean_sqrt_len_tokens": there.sum(0) / np.sqrt(len(there)),
                "weightedmean": (there * weight).sum(0) / weight.sum(),
            }[mode]
        )
    assert np.allclose(pooling(torch.from_numpy(x), torch.from_numpy(mask), mode), expected)


@pytest.mark.parametrize("name", ["plain", "unit", "cls", "dense", "minilm"])
def test_sentence_transformers_say_the_same(
    name: str, folders: dict[str, Path], minilm: FittedTextModel, runtime: Runtime
) -> None:
    library = pytest.importorskip("sentence_transformers")
    encoder = minilm if name == "minilm" else opened(folders[name], runtime)
    with quiet():
        reference = library.SentenceTransformer(str(encoder.place.folder), device="cpu")
        expected = reference.encode(TEXTS, show_progress_bar=False)
    assert np.abs(coded(encoder, *TEXTS) - expected).max() < 1e-5 and expected.std(0).max() > 1e-2


def test_minilm_by_its_name(minilm: FittedTextModel) -> None:
    found = coded(minilm, "a frog", "an amphibian", "stocks and bonds")
    assert minilm.width == 384 and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > 0.5 > 0.2 > found[0] @ found[2]


def test_letters_that_the_model_does_not_know(minilm: FittedTextModel) -> None:
    def said(text: object) -> str:
        return minilm.decode({"t": text}, Path())[1]

    english = [
        "a red flower",
        "Zürich, 1999-12-31: €7 (x/y)",
        "R2-D2 & C-3PO",
        "WWW",
        "een rode bloem",
        "naïve café",
    ]
    foreign = [
        "красный цветок на окне",
        "青蛙跳进水里",
        "개구리가 뛰어요",
        "ضفدع أحمر كبير",
        "एक लाल फूल",
        "κόκκινο λουλούδι",
    ]
    assert [said(t) for t in english] == [""] * len(english)
    assert [said(t) for t in foreign] == [UNKNOWN_LETTERS] * len(foreign)
    assert (
        said(["a red flower", foreign[0]]) == UNKNOWN_LETTERS
        and said("frog " * 300) == "cut to 256 tokens"
    )


def test_batches_and_order_change_nothing(folders: dict[str, Path], runtime: Runtime) -> None:
    for precision, most in (("float32", 1e-5), ("bfloat16", 0.05)):
        chosen = dataclasses.replace(runtime, precision=precision)
        one, many = (opened(folders["plain"], chosen, batch=b) for b in (1, 64))
        rows = coded(many, *TEXTS)
        scale = np.abs(rows).max()
        assert np.abs(coded(one, *TEXTS) - rows).max() < most * scale
        assert np.abs(coded(many, *TEXTS[::-1])[::-1] - rows).max() < most * scale


def test_a_prompt_stands_before_every_text(folders: dict[str, Path], runtime: Runtime) -> None:
    plain, prompted = (
        opened(folders["plain"], runtime),
        opened(folders["plain"], runtime, prompt="the "),
    )
    assert np.allclose(coded(prompted, "red dog"), coded(plain, "the red dog"), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [
        ("WordWeights", "", "needs the module WordWeights"),
        ("Pooling", "../x", "outside of it"),
        ("Dense", "2_Dense", "no dense layer"),
    ],
)
def test_modules_that_are_not_known_are_refused(
    kind: str, path: str, reason: str, tmp_path: Path, runtime: Runtime
) -> None:
    with quiet():
        folder = sentence_model(tmp_path / "model")
    (folder / "modules.json").write_text(
        f'[{{"idx": 0, "name": "0", "path": "{path}", "type": "models.{kind}"}}]'
    )
    with pytest.raises(GobelinError, match=reason):
        opened(folder, runtime)
