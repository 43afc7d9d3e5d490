"""The classifier of digits: seconds to train, always the same, mostly right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from effmark_adapters.artefacts.digits import (
    digits_data,
    digits_flops,
    digits_model,
    load_digits_net,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


def test_the_images_are_split_once_and_for_all() -> None:
    train, test = digits_data("train"), digits_data("test")
    assert train[0].shape == (1347, 1, 8, 8)
    assert test[0].shape == (450, 1, 8, 8)
    assert train[0].dtype == np.float32
    assert 0 == train[0].min() < train[0].max() == 1
    assert set(test[1]) == set(range(10))


def test_the_network_recognises_held_out_digits(cache: Path) -> None:
    import torch

    images, labels = digits_data("test")
    with torch.inference_mode():
        scores = load_digits_net(digits_model(cache))(torch.from_numpy(images))
    assert (scores.argmax(-1).numpy() == labels).mean() >= 0.95


def test_training_twice_gives_the_same_weights(cache: Path, tmp_path: Path) -> None:
    first, second = digits_model(cache), digits_model(tmp_path)
    hashes = {
        hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        for folder in (first, second)
    }
    assert len(hashes) == 1
    assert first.name == second.name


def test_training_leaves_the_random_state_and_the_threads_alone(tmp_path: Path) -> None:
    import torch

    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    digits_model(tmp_path)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_flops_are_those_of_the_shapes() -> None:
    convolutions = 64 * 9 * (1 * 16 + 16 * 32)
    linear = 512 * 64 + 64 * 10
    assert digits_flops() == 2 * (convolutions + linear)
