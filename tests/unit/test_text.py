"""Text is scored as the model's own tokenizer begins it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from effmark.adapter import SpecialTokens, begin
from effmark.probes.counters import ProcessCounters
from effmark.record import Measured
from effmark.spec import Text
from effmark.workloads import Context
from effmark.workloads.text import text


class Lost:
    """A model that knows its text by heart, but only after a token that begins it."""

    name = "lost"

    def __init__(self, start: tuple[int, ...]) -> None:
        self._start = start

    def encode(self, content: str) -> list[int]:
        return [3 + ord(c) % 64 for c in content]

    def decode(self, ids: Sequence[int]) -> str:
        return "x" * len(ids)

    def special_tokens(self) -> SpecialTokens:
        return SpecialTokens(start=self._start)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        raise AssertionError("no text is a chat")

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Any]:
        return [self._rows(*pair) for pair in pairs]

    def _rows(self, context: Sequence[int], rest: Sequence[int]) -> Any:
        known = 0.999 if tuple(context[:1]) == (1,) else 1 / 70
        rows = np.full((len(rest), 70), (1 - known) / 69)
        rows[range(len(rest)), list(rest)] = known
        return np.log(rows).astype(np.float32)


@pytest.mark.parametrize(("start", "perplexity"), [((1,), 1.001), ((), 70.0)])
def test_a_text_begins_with_what_the_tokenizer_puts_before_it(
    make_record: Callable[..., Any], tmp_path: Any, start: tuple[int, ...], perplexity: float
) -> None:
    record = make_record()
    cell = record.cell.model_copy(
        update={"workload": Text(name="austen", tokens=200, context_tokens=32)}
    )
    context = Context(
        adapter=Lost(start),  # type: ignore[arg-type]  # scores and reads text, nothing else
        facts=record.facts,
        cell=cell,
        cache=tmp_path,
        counters=ProcessCounters(),
        energy=None,  # type: ignore[arg-type]  # text takes no energy
        settings=record.settings,
        is_reference=False,
        reference="",
        progress=lambda _: None,
        sequences=1,
    )
    found = text(context)
    (measured,) = [m for m in found.measurements if m.metric == "perplexity"]
    assert isinstance(measured, Measured)
    assert measured.weights is not None
    nats = sum(measured.samples) / sum(measured.weights)
    assert np.exp(nats) == pytest.approx(perplexity, rel=1e-3)
    assert found.notes["begins_with"] == repr(list(start))


def test_ids_that_are_begun_already_are_not_begun_twice() -> None:
    assert begin(Lost((1, 2)), [1, 2, 9]) == [1, 2, 9]
    assert begin(Lost((1, 2)), [9]) == [1, 2, 9]
    assert begin(Lost(()), [9]) == [9]
