"""The checks catch what they are for: adapters that break one promise each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from effmark import contract
from effmark.adapter import Generation, LoadRequest, OnStep, Sampling
from effmark.errors import SpecError, UnsupportedError
from effmark.record import ModelFacts
from effmark.spec import ModelRef

VOCABULARY = 128
DELAY_S = 0.02


class Device:
    """A device that works through a queue on its own thread, a little later than it is told."""

    def __init__(self) -> None:
        self._pending: list[threading.Thread] = []

    def submit(self, work: Callable[[], None]) -> None:
        """Start work after all that is queued, and return at once."""
        before = list(self._pending)

        def run() -> None:
            for earlier in before:
                earlier.join()
            time.sleep(DELAY_S)
            work()

        thread = threading.Thread(target=run)
        self._pending.append(thread)
        thread.start()

    def wait(self) -> None:
        """Return when the queue is empty."""
        while self._pending:
            self._pending.pop(0).join()


class AsynchronousAdapter:
    """A bigram model on that device: it waits for every result, as it must."""

    name: ClassVar[str] = "asynchronous"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    def __init__(self) -> None:
        self.device = Device()

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Refuse by name."""
        if request.precision not in cls.precisions:
            raise UnsupportedError(f"no precision {request.precision!r}")
        if request.device != "cpu":
            raise UnsupportedError(f"no device {request.device!r}")
        if request.options:
            raise UnsupportedError(f"no option {min(request.options)!r}")

    def load(self, request: LoadRequest) -> None:
        """Make a table of what follows what."""
        random = np.random.default_rng(0)
        self._table = random.normal(size=(VOCABULARY, VOCABULARY)).astype("float32")

    def facts(self) -> ModelFacts:
        """The table is the model."""
        size_b = 4 * VOCABULARY**2
        return ModelFacts(
            parameters=VOCABULARY**2, weights_b=size_b, file_b=size_b, effective_bits=32.0,
            kernel="native", weights="random", weights_source="seed 0",
        )  # fmt: skip

    def synchronize(self) -> None:
        """Wait for the queue."""
        self.device.wait()

    def close(self) -> None:
        """Nothing to free."""

    def encode(self, text: str) -> list[int]:
        """Return ASCII codes."""
        return list(text.encode("ascii"))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ASCII codes."""
        return bytes(ids).decode("ascii")

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Refuse."""
        raise UnsupportedError("no chat template")

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue by the table."""
        if not all(generation.prompts):
            raise SpecError("a prompt has 0 tokens")
        random = np.random.default_rng(generation.sampling.seed)
        ids = np.array([prompt[-1] for prompt in generation.prompts])
        ended = [False] * len(ids)
        for _ in range(generation.new_tokens):
            ids = self.tokens(self._choose(ids, generation.sampling, random))
            step: list[int | None] = [
                None if over else i for i, over in zip(self.on_host(ids), ended, strict=True)
            ]
            ended = [o or i in generation.stop_ids for i, o in zip(step, ended, strict=True)]
            if on_step(step) or all(ended):
                return

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Any]:
        """Score by the table."""
        return [self.result(self._score([*c[-1:], *t[:-1]])) for c, t in pairs]

    def tokens(self, ids: Any) -> Any:
        """Return ids when the device has them."""
        return self.result(ids)

    def on_host(self, ids: Any) -> list[Any]:
        """Return ids as Python integers."""
        return list(ids.tolist())

    def result(self, value: Any) -> Any:
        """Let the device give a value, and wait for it."""
        buffer = self.queue(value)
        self.device.wait()
        return buffer

    def queue(self, value: Any) -> Any:
        """Return a buffer that the device will fill with a value."""
        buffer = np.zeros_like(value)
        self.device.submit(lambda: np.copyto(buffer, value))
        return buffer

    def _score(self, before: list[int]) -> Any:
        rows = self._table[before]
        return (rows - np.log(np.exp(rows).sum(1, keepdims=True))).astype("float32")

    def _choose(self, ids: Any, sampling: Sampling, random: Any) -> Any:
        rows = self._table[ids]
        if sampling.temperature and sampling.top_k != 1:
            rows = rows + random.gumbel(size=rows.shape)
        return rows.argmax(1)


class ForgetsToSynchronise(AsynchronousAdapter):
    """Returns the buffers that the device has still to fill, and waits for nothing."""

    def result(self, value: Any) -> Any:
        return self.queue(value)

    def synchronize(self) -> None:
        pass


class HandsOverStaleTokens(AsynchronousAdapter):
    """Waits for scores, but reads tokens before the device has written them."""

    def tokens(self, ids: Any) -> Any:
        return self.queue(ids)


class HandsOverDeviceValues(AsynchronousAdapter):
    """Gives ids that are still numbers of the device."""

    def on_host(self, ids: Any) -> list[Any]:
        return list(ids)


class LosesSteps(AsynchronousAdapter):
    """Reports every second token only."""

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        calls = iter(range(10**6))
        super().generate(generation, lambda ids: bool(next(calls) % 2 and on_step(ids)))


class IgnoresStops(AsynchronousAdapter):
    """Goes on after a stop id."""

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        super().generate(generation.model_copy(update={"stop_ids": ()}), on_step)


class IgnoresTheSeed(AsynchronousAdapter):
    """Samples otherwise each time."""

    seeds = iter(range(1000))

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        sampling = generation.sampling.model_copy(update={"seed": next(self.seeds)})
        super().generate(generation.model_copy(update={"sampling": sampling}), on_step)


class AcceptsAnything(AsynchronousAdapter):
    """Refuses nothing."""

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        pass


class Flatters(AsynchronousAdapter):
    """Says that it has fewer bits than it has."""

    def facts(self) -> ModelFacts:
        return super().facts().model_copy(update={"effective_bits": 4.0})


class IsNotNormalised(AsynchronousAdapter):
    """Gives logits where log-probabilities were promised."""

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Any]:
        return [rows + 1 for rows in super().log_probs(pairs)]


def request_of(tmp_path: Path) -> LoadRequest:
    model = ModelRef(name="bigrams", task="lm", kind="hf", path=tmp_path, sha256="0" * 64)
    return LoadRequest(model=model, precision="fp32", cache=tmp_path)


def test_an_adapter_that_waits_for_its_device_keeps_the_contract(tmp_path: Path) -> None:
    contract.check_adapter(AsynchronousAdapter, request_of(tmp_path))


@pytest.mark.parametrize(
    ("guilty", "sentence"),
    [
        (HandsOverDeviceValues, "no Python integer"),
        (LosesSteps, "6 tokens were asked for"),
        (IgnoresStops, "stop id"),
        (IgnoresTheSeed, "one seed, two results"),
        (AcceptsAnything, "was not refused"),
        (Flatters, "effective_bits"),
        (IsNotNormalised, "probabilities add up"),
    ],
)
def test_an_adapter_that_breaks_a_promise_is_caught(
    guilty: Any, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=sentence):
        contract.check_adapter(guilty, request_of(tmp_path))


def test_an_adapter_that_does_not_wait_for_its_device_is_caught(tmp_path: Path) -> None:
    adapter = ForgetsToSynchronise()
    adapter.load(request_of(tmp_path))
    with pytest.raises(AssertionError, match="changed after it was returned"):
        contract.check_log_probs(adapter)
    adapter.device.wait()


def test_tokens_that_were_read_too_early_are_caught(tmp_path: Path) -> None:
    adapter = HandsOverStaleTokens()
    adapter.load(request_of(tmp_path))
    with pytest.raises(AssertionError, match="below the likeliest"):
        contract.check_tokens_are_likely(adapter)
    adapter.device.wait()
