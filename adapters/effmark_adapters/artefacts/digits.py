"""An image classifier that every machine can train in seconds, on scikit-learn's digits.

1,797 grey images of 8 x 8 pixels come with scikit-learn (UCI, CC BY 4.0). Every fourth image is
held out. The network is small and convolutional, so that a runtime runs real convolutions and
products, in fp32 and in int8.
"""

from __future__ import annotations

import importlib.metadata
import json
from functools import cache as once
from pathlib import Path
from typing import Any, Literal

from effmark.cache import build_once
from effmark.errors import PrerequisiteError
from effmark.schema import content_hash

__all__ = [
    "CONFIG",
    "digits_data",
    "digits_flops",
    "digits_key",
    "digits_model",
    "load_digits_net",
]

Array = Any
RECIPE = 1
"""Rises whenever the same versions would become another network."""
CONFIG: dict[str, Any] = {
    "model_type": "effmark_digits",
    "image_size": 8,
    "channels": [16, 32],
    "kernel_size": 3,
    "hidden_size": 64,
    "num_labels": 10,
    "epochs": 12,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "seed": 0,
}
_HELD_OUT = 4
"""Every so manieth image is test, all others are training."""


def digits_data(split: Literal["train", "test"]) -> tuple[Array, Array]:
    """Return float32 images [n, 1, 8, 8] with values of 0 to 1, and int64 labels [n]."""
    images, labels = _all_digits()
    wanted = [(i % _HELD_OUT == 0) == (split == "test") for i in range(len(labels))]
    return images[wanted], labels[wanted]


def digits_model(cache: Path) -> Path:
    """Return the folder of the network, trained once: model.safetensors and config.json."""
    key = digits_key("torch", "scikit-learn")
    return build_once(cache, "digits", key, _train, "the digits classifier")


def digits_key(*packages: str, **options: Any) -> str:
    """Return the cache key of what packages make of the network with options.

    Raises:
        PrerequisiteError: one of the packages is not installed.
    """
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise PrerequisiteError(
                f"the digits classifier needs {name!r}; install it with: "
                "pip install 'effmark[torch,onnx,vision]'"
            ) from error
    recipe = {"recipe": RECIPE, "config": CONFIG, **options}
    return content_hash({**recipe, "versions": versions})[:32]


def load_digits_net(folder: Path) -> Any:
    """Return the torch module of a folder, ready for inference."""
    from safetensors.torch import load_file

    net = _network()
    net.load_state_dict(load_file(folder / "model.safetensors"))
    return net.eval()


def digits_flops() -> float:
    """Return the FLOPs of one image in convolutions and linear layers, 2 per multiply-add."""
    size, kernel = int(CONFIG["image_size"]), int(CONFIG["kernel_size"]) ** 2
    first, second = CONFIG["channels"]
    convolutions = size * size * kernel * (first + first * second)
    flat, hidden = second * (size // 2) ** 2, int(CONFIG["hidden_size"])
    return float(2 * (convolutions + flat * hidden + hidden * int(CONFIG["num_labels"])))


@once
def _all_digits() -> tuple[Array, Array]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise PrerequisiteError(
            "the digits need 'scikit-learn'; install it with: pip install 'effmark[vision]'"
        ) from error
    found = load_digits()
    return (found.images / 16.0).astype("float32")[:, None], found.target.astype("int64")


def _network() -> Any:
    """Return the untrained network: two convolutions, a pool, two linear layers."""
    from torch import nn

    first, second = CONFIG["channels"]
    size, kernel = CONFIG["image_size"] // 2, CONFIG["kernel_size"]
    return nn.Sequential(
        nn.Conv2d(1, first, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(first, second, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * size * size, CONFIG["hidden_size"]),
        nn.ReLU(),
        nn.Linear(CONFIG["hidden_size"], CONFIG["num_labels"]),
    )


def _train(folder: Path) -> None:
    """Train with one thread and a fixed seed, in a few seconds."""
    import torch
    from safetensors.torch import save_file

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            torch.manual_seed(CONFIG["seed"])
            net = _trained(torch)
    finally:
        torch.set_num_threads(threads)
    save_file(net.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")


def _trained(torch: Any) -> Any:
    images, labels = (torch.from_numpy(array) for array in digits_data("train"))
    net = _network()
    optimiser = torch.optim.Adam(net.parameters(), lr=CONFIG["learning_rate"])
    batch = CONFIG["batch_size"]
    steps = CONFIG["epochs"] * -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=steps)
    for _ in range(CONFIG["epochs"]):
        order = torch.randperm(len(images))
        for start in range(0, len(images), batch):
            chosen = order[start : start + batch]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(images[chosen]), labels[chosen]).backward()
            optimiser.step()
            schedule.step()
    return net
