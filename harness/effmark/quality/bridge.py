"""Any adapter as an `lm_eval` model; imported only where lm-eval is installed.

Tokenisation follows lm-eval's own `hf` model (context and continuation are encoded together and
split), so that scores agree. Requests are sorted so that equal contexts stand side by side and
batches hold alike lengths; adapters that can share the computation of a context do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from lm_eval.api.model import TemplateLM

from effmark.adapter import Adapter, Generates, Generation, Sampling, Scores
from effmark.errors import UnsupportedError
from effmark.record import ModelFacts
from effmark.scores import rolling_windows

__all__ = ["AdapterLM"]

_DEFAULT_CONTEXT = 2048
_DEFAULT_NEW_TOKENS = 256
"""lm-eval's `hf` model generates at most so many tokens where the task does not say."""

Pair = tuple[tuple[str, str], list[int], list[int]]


class AdapterLM(TemplateLM):  # type: ignore[misc]  # lm-eval has no type information
    """An adapter in the shape that lm-eval asks."""

    backend = "causal"

    def __init__(self, adapter: Adapter, facts: ModelFacts, batch: int = 8) -> None:
        super().__init__()
        self._adapter = adapter
        self._config = facts.config
        self._batch = batch
        self._length = facts.context_tokens or _DEFAULT_CONTEXT
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
        totals = []
        for request in requests:
            tokens = scorer.encode(request.args[0])
            windows = rolling_windows(tokens, self.prefix_token_id, self._length)
            pairs: list[Pair] = []
            for context, continuation in windows:
                pairs.append((("", ""), context, continuation))
            totals.append(sum(score for score, _ in self._loglikelihood_tokens(pairs)))
        return totals

    def _loglikelihood_tokens(
        self, requests: list[Pair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Return summed log-probability and greediness of each continuation, in order."""
        scorer = self._scorer()
        order = sorted(
            range(len(requests)),
            key=lambda i: (-len(requests[i][1]) - len(requests[i][2]), requests[i][1]),
        )
        answers: dict[int, tuple[float, bool]] = {}
        for group in _groups(order, requests, self._batch):
            pairs = [_truncated(requests[i], self._length) for i in group]
            for i, pair, row in zip(group, pairs, scorer.log_probs(pairs), strict=True):
                answers[i] = _scored(row, pair[1])
        return [answers[i] for i in range(len(requests))]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the continuation of each prompt up to its first stop string."""
        return [self._generate(*request.args) for request in requests]

    def _generate(self, context: str, settings: dict[str, Any]) -> str:
        adapter = self._adapter
        if not isinstance(adapter, Generates):
            raise UnsupportedError(f"adapter {adapter.name!r} generates no text")
        until = settings.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        new_tokens = int(settings.get("max_gen_toks", _DEFAULT_NEW_TOKENS))
        prompt = adapter.encode(context)[-(self._length - new_tokens) :] or [self.prefix_token_id]
        generation = Generation(
            prompts=(tuple(prompt),),
            new_tokens=new_tokens,
            sampling=_sampling(settings),
            stop_ids=(self.eot_token_id,),
        )
        ids: list[int] = []

        def on_step(step: Sequence[int | None]) -> bool:
            token = step[0]
            if token is None or token == self.eot_token_id:
                return True
            ids.append(token)
            return any(stop in adapter.decode(ids) for stop in stops)

        adapter.generate(generation, on_step)
        text = adapter.decode(ids)
        for stop in stops:
            text = text.split(stop)[0] if stop else text
        return text

    def _scorer(self) -> Scores:
        if not isinstance(self._adapter, Scores):
            raise UnsupportedError(f"adapter {self._adapter.name!r} gives no log-probabilities")
        return cast(Scores, self._adapter)

    def _special(self, key: str) -> int:
        value = self._config.get(key)
        if not isinstance(value, int):
            raise UnsupportedError(f"the model has no {key}; lm-eval needs one before a text")
        return value


def _groups(order: list[int], requests: list[Pair], size: int) -> Iterable[list[int]]:
    """Yield batches of about `size` requests, requests with one context never parted."""
    group: list[int] = []
    for i in order:
        if len(group) >= size and requests[group[-1]][1] != requests[i][1]:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _truncated(request: Pair, length: int) -> tuple[list[int], list[int]]:
    """Return context and continuation, the context cut from the left to what the model reads."""
    _, context, continuation = request
    room = max(1, length + 1 - len(continuation))
    return context[-room:], continuation


def _scored(row: Any, continuation: Sequence[int]) -> tuple[float, bool]:
    """Return the sum of the continuation's log-probabilities and whether it is the greedy one."""
    total = float(sum(float(row[i, token]) for i, token in enumerate(continuation)))
    greedy = row.argmax(axis=1)
    return total, all(int(greedy[i]) == token for i, token in enumerate(continuation))


def _sampling(settings: dict[str, Any]) -> Sampling:
    if not settings.get("do_sample", False):
        return Sampling()
    return Sampling(
        temperature=float(settings.get("temperature", 1.0)),
        top_k=int(settings.get("top_k", 0)),
        top_p=float(settings.get("top_p", 1.0)),
        seed=int(settings.get("seed", 0)),
    )
