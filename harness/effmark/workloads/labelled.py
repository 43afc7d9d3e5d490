"""Labelled inputs that come with an installed library; nothing is downloaded."""

from __future__ import annotations

from typing import Any

from effmark.errors import PrerequisiteError

__all__ = ["labelled_images"]

_HELD_OUT_FROM = 1400
"""The first 1,400 of scikit-learn's 1,797 digits train the model; the rest is held out."""


def labelled_images(name: str) -> tuple[Any, Any]:
    """Return held-out images (float32 [n, 1, 8, 8] in 0..1) and their labels (int [n])."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise PrerequisiteError(
            f"labelled data {name!r} needs 'scikit-learn'; "
            "install it with: pip install 'effmark[vision]'"
        ) from error
    data = load_digits()
    images = (data.images / 16.0).astype("float32")[:, None, :, :]
    return images[_HELD_OUT_FROM:], data.target[_HELD_OUT_FROM:]
