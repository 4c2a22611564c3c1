"""AutoGluon MultiModal on the tables of `peers.py`, run by the Python of its own environment.

python peer_multimodal.py FOLDER TARGET class|number SECONDS TEXTS IMAGES: FOLDER has
train.parquet, test.parquet and types.json ({column: AutoGluon's type}), and gets answers.json.
TEXTS is the folder of a sentence encoder (MiniLM), IMAGES the weights of EfficientNet-Lite0 as its
package keeps them: model hubs can't be reached everywhere. The rest are AutoGluon's defaults.
SECONDS are of this process's own processor time: the clocks that AutoGluon and Lightning read tell
that time here, so that other programs take nothing from it."""

import json
import sys
import time
from pathlib import Path

BEGUN = time.time()
time.time = lambda: BEGUN + time.process_time()  # before AutoGluon takes it
time.monotonic = time.process_time  # what Lightning reads

import torch  # noqa: E402

# torchvision of PyPI beside a torch without CUDA lacks its own operators; nothing here calls them
OPERATORS = torch.library.Library("torchvision", "DEF")
OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import pandas as pd  # noqa: E402
import timm  # noqa: E402
from autogluon.multimodal import MultiModalPredictor  # noqa: E402
from peer_process import answered, spent  # noqa: E402

NETWORK = "tf_efficientnet_lite0"


def main() -> None:
    folder, target, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    seconds, texts, weights = int(sys.argv[4]), sys.argv[5], Path(sys.argv[6])
    start = spent()
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    types = json.loads((folder / "types.json").read_text())
    if kind == "number":
        train[target] = train[target].astype(float)
    predictor = MultiModalPredictor(
        target,
        problem_type="regression" if kind == "number" else None,
        eval_metric="rmse" if kind == "number" else "log_loss",
        path=str(folder / "model"),
        verbosity=2,
    )
    predictor.fit(
        train,
        time_limit=seconds,
        column_types=types,
        hyperparameters={
            "model.hf_text.checkpoint_name": texts,
            "model.timm_image.checkpoint_name": str(images(weights, folder / "images")),
            "env.num_gpus": 0,
            "env.num_workers": 0,
            "env.num_workers_inference": 0,
            "env.precision": 32,
        },
        seed=0,
    )
    answers = answered(predictor, test, kind) | {"seconds": spent() - start, "note": "MiniLM Lite0"}
    (folder / "answers.json").write_text(json.dumps(answers))


def images(weights: Path, folder: Path) -> Path:
    """A folder that timm opens, with the package's weights but no classifier. Both name the same
    tensors in the same order."""
    network = timm.create_model(NETWORK, num_classes=0)
    theirs = torch.load(weights, map_location="cpu", weights_only=True)
    theirs = [v for k, v in theirs.items() if not k.startswith("_fc")]
    own = network.state_dict()
    if [v.shape for v in theirs] != [v.shape for v in own.values()]:
        raise SystemExit(f"{weights}: not the tensors of {NETWORK}")
    network.load_state_dict(dict(zip(own, theirs, strict=True)))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    config = {
        "architecture": NETWORK,
        "num_classes": 0,
        "num_features": network.num_features,
        "pretrained_cfg": network.pretrained_cfg,
    }
    (folder / "config.json").write_text(json.dumps(config, default=str))
    return folder


if __name__ == "__main__":
    main()
