"""The zero of the instrument: every answer is ready at once, so what is timed is the harness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import UnsupportedError
from effmark.record import ModelFacts

__all__ = ["NullAdapter"]


class NullAdapter:
    """Does nothing, instantly, with the right shapes."""

    name: ClassVar[str] = "null"
    precisions: ClassVar[tuple[str, ...]] = ("none",)

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    """Where it runs; nothing of it would run on another device."""

    @classmethod
    def check_device(cls, device: str) -> None:
        """Refuse a device on which nothing would run."""
        if cls.devices and device not in cls.devices:
            raise UnsupportedError(f"{cls.name}: no device {device!r}; it has 'cpu'")

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Refuse what no null adapter has; there is nothing to make."""
        cls.check_device(request.device)
        if request.precision not in cls.precisions:
            raise UnsupportedError(f"null: no precision {request.precision!r}; it has 'none'")
        if request.options:
            raise UnsupportedError(f"null: unknown option {min(request.options)!r}; it has none")

    def load(self, request: LoadRequest) -> None:
        """Load nothing."""
        self.prepare(request)

    def facts(self) -> ModelFacts:
        """Return the facts of a model of one 8-bit weight."""
        return ModelFacts(
            parameters=1, weights_b=1, file_b=1, effective_bits=8.0, kernel="native",
            weights="random", weights_source="none",
        )  # fmt: skip

    def synchronize(self) -> None:
        """Return at once; nothing is ever queued."""

    def close(self) -> None:
        """Free nothing."""

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes of a text."""
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of bytes."""
        return bytes(i % 256 for i in ids).decode(errors="replace")

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Refuse: there is no template."""
        raise UnsupportedError("null: no chat template")

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Give token 0 for every sequence at every step."""
        step = [0] * len(generation.prompts)
        for _ in range(generation.new_tokens):
            if on_step(step):
                return

    def infer(self, batch: Array) -> Array:
        """Return the inputs."""
        return batch
