"""What adapters of graph runtimes share: text in and out, the decode loop, scoring, errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import AdapterError, EffmarkError, OutOfMemoryError, UnsupportedError
from effmark_adapters.artefacts.tokenizer import ReadsText, TextTokenizer

__all__ = [
    "GraphAdapter",
    "check_length",
    "check_options",
    "conversion_errors",
    "memory_errors",
    "one_line",
]

_LONGEST_REASON = 200
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "allocate", "out of memory")


class GraphAdapter(ReadsText):
    """One loaded graph; a subclass prepares and loads it and says what it is."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._request: LoadRequest | None = None
        self._graph: Any = None
        """What runs: a `KvModel` where it is a language model."""
        self._tokenizer: TextTokenizer | None = None
        self._rows = 0
        """How many tokens the embedding knows."""
        self._entry = Path()

    def synchronize(self) -> None:
        """Return at once: every run ends with its results on the host."""

    def close(self) -> None:
        """Free the graph."""
        self._graph = self._request = self._tokenizer = None

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue the prompts together, the shorter ones padded on the left."""
        from effmark_adapters.graphs.kv_loop import continue_prompts

        self._text()
        request, graph = self._loaded()
        self._check_ids(*generation.prompts)
        with memory_errors(self.name):
            continue_prompts(graph, generation, on_step, request.context_tokens, request.batch)

    def kv_cache_b(self) -> int:
        """Return the bytes of the KV cache of the request in flight."""
        _, graph = self._loaded()
        return int(graph.cache_b())

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return the log-probabilities of continuations; a shared context is computed once."""
        from effmark_adapters.graphs.kv_loop import score_pairs

        self._text()
        request, graph = self._loaded()
        self._check_ids(*(ids for pair in pairs for ids in pair))
        with memory_errors(self.name):
            return list(score_pairs(graph, pairs, request.context_tokens))

    def replay(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[Array]:
        """Return the log-probabilities that `generate` sees when made to choose these tokens."""
        from effmark_adapters.graphs.kv_loop import replay

        self._text()
        _, graph = self._loaded()
        self._check_ids(*prompts, *continuations)
        with memory_errors(self.name):
            return list(replay(graph, prompts, continuations))

    def _check_ids(self, *sequences: Sequence[int]) -> None:
        """Refuse token ids that the embedding has no row for, which a runtime would crash on."""
        largest = max((max(ids, default=0) for ids in sequences), default=0)
        if largest >= self._rows:
            raise UnsupportedError(
                f"{self.name}: token {largest} is beyond the {self._rows} rows of the embedding; "
                "the tokenizer belongs to a larger vocabulary than the model"
            )

    def _loaded(self) -> tuple[LoadRequest, Any]:
        if self._request is None or self._graph is None:
            raise AdapterError(f"{self.name}: no model is loaded; call load first")
        return self._request, self._graph

    def _text(self) -> TextTokenizer:
        request, _ = self._loaded()
        if self._tokenizer is None:
            raise UnsupportedError(f"{self.name}: model {request.model.name!r} reads no text")
        return self._tokenizer


@contextmanager
def memory_errors(name: str) -> Iterator[None]:
    """Turn a runtime's failed allocations into the error that is recorded as `oom`."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, MemoryError) or any(w in text.lower() for w in _OUT_OF_MEMORY):
            raise OutOfMemoryError(f"{name}: out of memory: {text[:200]}") from error
        raise


@contextmanager
def conversion_errors(name: str, subject: str) -> Iterator[None]:
    """Turn whatever a runtime or converter raises about a graph into a refusal in one line.

    Lack of memory stays that: it says nothing of the graph.
    """
    try:
        with memory_errors(name):
            yield
    except (EffmarkError, OSError):  # a full disk says nothing of the graph
        raise
    except Exception as error:  # they raise classes of their own; what counts is the graph
        raise UnsupportedError(f"{subject}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line and not longer than a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def check_length(name: str, request: LoadRequest, meta: dict[str, Any]) -> None:
    """Refuse requests longer than a graph is right for.

    Raises:
        UnsupportedError: the model's rotary embedding changes at such lengths, the graph's not.
    """
    longest = meta["longest_tokens"]
    if longest is not None and request.context_tokens > longest:
        raise UnsupportedError(
            f"{name}: the rotary embedding of model {request.model.name!r} changes beyond "
            f"{longest} tokens, which a graph does not; {request.context_tokens} were asked for"
        )


def check_options(request: LoadRequest, subject: str, known: dict[str, type]) -> None:
    """Refuse options that are unknown or of another type.

    Args:
        request: what was asked for.
        subject: who refuses, `openvino` say.
        known: the type of each option that there is here.
    """
    for name, value in request.options.items():
        if name not in known:
            names = ", ".join(known) or "none"
            raise UnsupportedError(f"{subject}: unknown option {name!r}; it has {names}")
        if type(value) is not known[name]:
            raise UnsupportedError(
                f"{subject}: option {name!r} is {value!r}, not of type {known[name].__name__}"
            )
