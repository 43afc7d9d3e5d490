"""Any adapter as an `lm_eval` model; imported only where lm-eval is installed.

Tokenisation follows lm-eval's own `hf` model (context and continuation are encoded together and
split), so that scores agree. What is equal is computed once: requests that differ only in their
last token share one row of log-probabilities, requests of one context stand side by side for
adapters that can share its computation, and prompts are continued as many at a time as the
adapter was loaded for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

from effmark.adapter import Adapter, Generates, Generation, Sampling, Scores
from effmark.errors import SpecError, UnsupportedError
from effmark.record import ModelFacts
from effmark.scores import rolling_windows

__all__ = ["AdapterLM"]

_DEFAULT_CONTEXT = 2048
_DEFAULT_VOCABULARY = 50_000
_DEFAULT_NEW_TOKENS = 256
"""lm-eval's `hf` model generates at most so many tokens where the task does not say."""
_ROWS_B = 256 * 2**20
"""Most bytes of log-probabilities that one call of an adapter is asked for."""

Pair = tuple[tuple[str, str], list[int], list[int]]


class AdapterLM(TemplateLM):  # type: ignore[misc]  # lm-eval has no type information
    """An adapter in the shape that lm-eval asks."""

    backend = "causal"

    def __init__(
        self,
        adapter: Adapter,
        facts: ModelFacts,
        batch: int = 32,
        sequences: int = 1,
        context_tokens: int = _DEFAULT_CONTEXT,
    ) -> None:
        """Wrap a loaded adapter.

        Args:
            adapter: Must score or generate, as the tasks ask.
            facts: The facts of its model.
            batch: About how many texts an adapter is given at a time; it forms its own batches.
            sequences: How many prompts are continued together; the adapter was loaded for them.
            context_tokens: The longest text that the adapter was loaded for.
        """
        super().__init__()
        self._adapter = adapter
        self._config = facts.config
        self._batch, self._sequences = batch, sequences
        self._length = min(facts.context_tokens or context_tokens, context_tokens)
        self._name = str(facts.config.get("model_type", "model"))

    @property
    def eot_token_id(self) -> int:
        """Return the token that ends a text."""
        return self._special("eos_token_id")

    @property
    def prefix_token_id(self) -> int:
        """Return the token that stands before a text without context."""
        has_bos = self._config.get("bos_token_id") is not None
        return self._special("bos_token_id" if has_bos else "eos_token_id")

    @property
    def tokenizer_name(self) -> str:
        """Return what identifies the chat template in lm-eval's caches."""
        return self._name

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Return the token ids of a text, without special tokens."""
        return self._scorer().encode(string)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the name of the template; the adapter holds the template itself."""
        return f"{self._name} chat template" if chat_template else None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the prompt that the model's chat template makes of a conversation."""
        return self._scorer().chat(chat_history)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each whole text in nats, every token scored once."""
        scorer = self._scorer()
        owners: list[int] = []
        pairs: list[Pair] = []
        for owner, request in enumerate(requests):
            tokens = scorer.encode(request.args[0])
            for window in rolling_windows(tokens, self.prefix_token_id, self._length):
                owners.append(owner)
                pairs.append((("", ""), *window))
        totals = [0.0] * len(requests)
        for owner, (score, _) in zip(owners, self._loglikelihood_tokens(pairs), strict=True):
            totals[owner] += score
        return totals

    def _loglikelihood_tokens(
        self, requests: list[Pair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Return summed log-probability and greediness of each continuation, in order."""
        scorer = self._scorer()
        vocabulary = int(self._config.get("vocab_size") or _DEFAULT_VOCABULARY)
        rows = max(1, _ROWS_B // (4 * vocabulary))
        answers: dict[int, tuple[float, bool]] = {}
        for batch in _batches(_texts(requests, self._length), self._batch, rows):
            found = scorer.log_probs([(text.context, text.continuation) for text in batch])
            for text, log_probs in zip(batch, found, strict=True):
                for i in text.requests:
                    answers[i] = _scored(log_probs, requests[i][2])
        return [answers[i] for i in range(len(requests))]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the continuation of each prompt up to its first stop string."""
        adapter = self._adapter
        if not isinstance(adapter, Generates):
            raise UnsupportedError(f"adapter {adapter.name!r} generates no text")
        alike: dict[str, list[tuple[int, list[int]]]] = {}
        for i, request in enumerate(requests):
            context, settings = request.args
            alike.setdefault(repr(settings), []).append((i, adapter.encode(context)))
        answers: dict[int, str] = {}
        for prompts in alike.values():
            settings = requests[prompts[0][0]].args[1]
            prompts.sort(key=lambda prompt: -len(prompt[1]))
            for first in range(0, len(prompts), self._sequences):
                part = prompts[first : first + self._sequences]
                found = self._continue(adapter, [tokens for _, tokens in part], settings)
                answers.update(zip((i for i, _ in part), found, strict=True))
        return [answers[i] for i in range(len(requests))]

    def _continue(
        self, adapter: Generates, prompts: list[list[int]], settings: dict[str, Any]
    ) -> list[str]:
        """Return the continuations of prompts that run together."""
        settings = normalize_gen_kwargs(settings, _DEFAULT_NEW_TOKENS)
        new_tokens = int(settings["max_gen_toks"])
        room = self._length - new_tokens
        if room < 1:
            raise SpecError(
                f"lm-eval: max_gen_toks {new_tokens} leaves no room for a prompt in the model's "
                f"context of {self._length} tokens"
            )
        stops = [stop for stop in settings["until"] if stop]
        rows = [_Answer(adapter, stops) for _ in prompts]

        def on_step(step: Sequence[int | None]) -> bool:
            for row, token in zip(rows, step, strict=True):
                row.add(None if token == self.eot_token_id else token)
            return all(row.ended for row in rows)

        generation = Generation(
            prompts=tuple(tuple(p[-room:] or [self.prefix_token_id]) for p in prompts),
            new_tokens=new_tokens,
            sampling=_sampling(settings),
            stop_ids=(self.eot_token_id,),
        )
        adapter.generate(generation, on_step)
        return [row.text() for row in rows]

    def _scorer(self) -> Scores:
        if not isinstance(self._adapter, Scores):
            raise UnsupportedError(f"adapter {self._adapter.name!r} gives no log-probabilities")
        return cast(Scores, self._adapter)

    def _special(self, key: str) -> int:
        value = self._config.get(key)
        if not isinstance(value, int):
            raise UnsupportedError(f"the model has no {key}; lm-eval needs one before a text")
        return value


class _Answer:
    """A continuation as it grows; ended by the end token or by a stop string."""

    def __init__(self, adapter: Generates, stops: list[str]) -> None:
        self._adapter, self._stops = adapter, stops
        # A stop that has just been completed lies within so many tokens: each has a byte or more.
        self._tail = max((len(stop.encode()) for stop in stops), default=0) + 1
        self._ids: list[int] = []
        self.ended = False

    def add(self, token: int | None) -> None:
        """Take the next token; None is the end."""
        if token is None or self.ended:
            self.ended = True
            return
        self._ids.append(token)
        if self._stops:
            tail = self._adapter.decode(self._ids[-self._tail :])
            self.ended = any(stop in tail for stop in self._stops)

    def text(self) -> str:
        """Return the text before the first stop."""
        return str(postprocess_generated_text(self._adapter.decode(self._ids), self._stops, None))


@dataclass
class _Text:
    """Tokens that go through the model once, and the requests that they answer."""

    context: list[int]
    continuation: list[int]
    requests: list[int] = field(default_factory=list)


def _texts(requests: Sequence[Pair], length: int) -> list[_Text]:
    """Return what must be computed: requests that differ in the last token only are one text."""
    texts: dict[tuple[int, ...], _Text] = {}
    for i, request in enumerate(requests):
        context, continuation = _truncated(request, length)
        seen = (*context, *continuation[:-1])
        text = texts.setdefault(seen, _Text(context, continuation))
        if len(continuation) > len(text.continuation):
            text.context, text.continuation = context, continuation
        text.requests.append(i)
    return list(texts.values())


def _batches(texts: Sequence[_Text], size: int, rows: int) -> Iterator[list[_Text]]:
    """Yield batches of about `size` texts and at most `rows` rows; one context stays together.

    A context of one token, which is the start of every text without context, is nothing to share.
    """
    groups: dict[tuple[int, ...], list[_Text]] = {}
    for text in texts:
        shared = text.context if len(text.context) > 1 else [*text.context, *text.continuation]
        groups.setdefault(tuple(shared), []).append(text)
    longest_first = sorted(
        groups.values(),
        key=lambda group: -max(len(text.context) + len(text.continuation) for text in group),
    )
    batch: list[_Text] = []
    wanted = 0
    for text in (text for group in longest_first for text in group):
        alone = len(text.context) == 1 or not batch or batch[-1].context != text.context
        full = len(batch) >= size and alone
        if batch and (full or wanted + len(text.continuation) > rows):
            yield batch
            batch, wanted = [], 0
        batch.append(text)
        wanted += len(text.continuation)
    if batch:
        yield batch


def _truncated(request: Pair, length: int) -> tuple[list[int], list[int]]:
    """Return context and continuation, the context cut from the left to what the model reads."""
    _, context, continuation = request
    room = max(1, length + 1 - len(continuation))
    return context[-room:], continuation


def _scored(log_probs: Any, continuation: Sequence[int]) -> tuple[float, bool]:
    """Return the sum of the continuation's log-probabilities and whether it is the greedy one."""
    rows = log_probs[len(log_probs) - len(continuation) :]
    total = float(rows[range(len(continuation)), list(continuation)].sum())
    return total, rows.argmax(axis=1).tolist() == list(continuation)


def _sampling(settings: dict[str, Any]) -> Sampling:
    if not settings.get("do_sample", False):
        return Sampling()
    return Sampling(
        temperature=float(settings.get("temperature", 1.0)),
        top_k=int(settings.get("top_k", 0)),
        top_p=float(settings.get("top_p", 1.0)),
        seed=int(settings.get("seed", 0)),
    )
