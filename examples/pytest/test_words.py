"""Its tests: the answer is right, and what it costs is kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from words import count_words

TEXT = "the quick brown fox jumps over the lazy dog " * 200


@pytest.mark.effmark(max_latency_s=0.050, max_bytecodes=40_000)
def test_counting_is_quick(effmark: Any) -> None:
    """Measures, and goes on with what the first call returned."""
    counts: Counter[str] = effmark(count_words, TEXT)
    assert counts["the"] == 400
