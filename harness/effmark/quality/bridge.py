"""Any adapter as an `lm_eval` model; imported only where lm-eval is installed.

Tokenisation follows lm-eval's own `hf` model (context and continuation are encoded together and
split), so that scores agree. What is equal is computed once: requests that differ only in their
last token share one row of log-probabilities, requests of one context stand side by side for
adapters that can share its computation, and prompts are continued as many at a time as the
adapter was loaded for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs

from effmark.adapter import (
    Adapter,
    Generates,
    Generation,
    Sampling,
    Scores,
    Tokenizes,
    special_tokens,
)
from effmark.errors import SpecError, UnsupportedError
from effmark.quality.answers import Answer
from effmark.quality.batches import Pair, batches, cut, texts
from effmark.quality.sent import Sent
from effmark.record import ModelFacts
from effmark.scores import rolling_windows

__all__ = ["AdapterLM"]

_DEFAULT_CONTEXT = 2048
_DEFAULT_VOCABULARY = 50_000
_DEFAULT_NEW_TOKENS = 256
"""lm-eval's `hf` model generates at most so many tokens where the task does not say."""
_TEXTS = 256
"""Texts that an adapter is given at a time. Of few it can only form small batches: with 8 at a time
the choices of effmark_mini took 71 forwards of the torch adapter, with 256 they take 17."""
_ROWS_B = 256 * 2**20
"""Most bytes of log-probabilities that one call of an adapter is asked for."""
_PASSED = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p", "seed"}
"""Settings of generation that reach an adapter."""
_WITHOUT_EFFECT = {
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "use_cache": True,
}
"""Settings that change nothing at these values."""


class AdapterLM(TemplateLM):  # type: ignore[misc]  # lm-eval has no type information
    """An adapter in the shape that lm-eval asks."""

    backend = "causal"

    def __init__(
        self,
        adapter: Adapter,
        facts: ModelFacts,
        batch: int = _TEXTS,
        sequences: int = 1,
        context_tokens: int = _DEFAULT_CONTEXT,
        sent: Mapping[str, Sent] | None = None,
    ) -> None:
        """Wrap a loaded adapter.

        Args:
            adapter: Must score or generate, as the tasks ask.
            facts: The facts of its model.
            batch: About how many texts an adapter is given at a time; it forms its own batches.
            sequences: How many prompts are continued together; the adapter was loaded for them.
            context_tokens: The longest text that the adapter was loaded for.
            sent: Where what is sent is counted, by task.
        """
        super().__init__()
        self._adapter = adapter
        self._config = facts.config
        self._special = special_tokens(adapter, facts)
        self._batch, self._sequences = batch, sequences
        self._length = min(facts.context_tokens or context_tokens, context_tokens)
        self._name = str(facts.config.get("model_type", "model"))
        self._sent = sent if sent is not None else defaultdict(Sent)

    @property
    def eot_token_id(self) -> int:
        """Return the token that ends a text."""
        return self._named_token(self._special.eos, "eos token")

    @property
    def prefix_token_id(self) -> int:
        """Return the token that stands before a text without context."""
        bos, eos = self._special.bos, self._special.eos
        return self._named_token(eos if bos is None else bos, "bos and no eos token")

    @property
    def tokenizer_name(self) -> str:
        """Return what identifies the chat template in lm-eval's caches."""
        return self._name

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Return the token ids of a text, begun as the model's own tokenizer begins it."""
        ids, start = self._reader().encode(string), list(self._special.start)
        begun = add_special_tokens is None and ids[: len(start)] == start
        return ids if begun or add_special_tokens is False else start + ids

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the name of the template; the adapter holds the template itself."""
        return f"{self._name} chat template" if chat_template else None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the prompt that the model's chat template makes of a conversation."""
        if not add_generation_prompt and chat_history[-1]["role"] != "assistant":
            raise UnsupportedError("lm-eval leaves an answer open that is not the assistant's")
        return self._reader().chat(chat_history)

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return each continuation's log-likelihood in nats, and whether it is the greedy one."""
        contexts: dict[str, list[int]] = {}
        pairs = []
        for request in requests:
            pair, lost = cut(*self._pair(request, contexts), self._length)
            self._count(request, len(pair[0]) + len(pair[1]) - 1, lost)
            pairs.append(pair)
        return self._scores(pairs)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each whole text in nats, every token scored once."""
        owners: list[int] = []
        pairs: list[Pair] = []
        for owner, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0])
            self._count(request, min(len(tokens), self._length), "")
            for window in rolling_windows(tokens, self.prefix_token_id, self._length):
                owners.append(owner)
                pairs.append(window)
        totals = [0.0] * len(requests)
        for owner, (score, _) in zip(owners, self._scores(pairs), strict=True):
            totals[owner] += score
        return totals

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Return what `loglikelihood` does, for tokens."""
        pairs = [(context, continuation) for _, context, continuation in requests]
        return self._scores([cut(*pair, self._length)[0] for pair in pairs])

    def _pair(self, request: Any, contexts: dict[str, list[int]]) -> Pair:
        """Return the tokens of context and continuation, split as lm-eval's own models split them.

        Both are encoded together, the context ends where it ends alone, and blanks at its end
        belong to the continuation.
        """
        context, continuation = request.args
        if context:
            head = context.rstrip()
            if head not in contexts:
                contexts[head] = self.tok_encode(head)
            first = contexts[head]
            rest = self.tok_encode(context + continuation)[len(first) :]
        else:
            first, rest = [], self.tok_encode(continuation, add_special_tokens=False)
        if not first:
            begins = rest[:1] == [self.prefix_token_id]
            first, rest = (rest[:1], rest[1:]) if begins else ([self.prefix_token_id], rest)
        if not rest:
            raise SpecError(
                f"{_item(request)}: choice {continuation!r} has no token of its own to score"
            )
        return first, rest

    def _scores(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Return summed log-probability and greediness of each continuation, in order."""
        scorer = self._scorer()
        vocabulary = int(self._config.get("vocab_size") or _DEFAULT_VOCABULARY)
        rows = max(1, _ROWS_B // (4 * vocabulary))
        answers: dict[int, tuple[float, bool]] = {}
        for batch in batches(texts(pairs), self._batch, rows):
            found = scorer.log_probs([(text.context, text.continuation) for text in batch])
            for text, log_probs in zip(batch, found, strict=True):
                for i in text.requests:
                    answers[i] = _scored(log_probs, pairs[i][1])
        return [answers[i] for i in range(len(pairs))]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Return the continuation of each prompt up to its first stop string."""
        adapter = self._adapter
        if not isinstance(adapter, Generates):
            raise UnsupportedError(f"adapter {adapter.name!r} generates no text")
        alike: dict[str, list[tuple[int, list[int]]]] = {}
        ways: dict[str, dict[str, Any]] = {}
        for i, request in enumerate(requests):
            context, wished = request.args
            way = repr(wished)
            if way not in ways:
                ways[way] = self._settings(request, wished)
            prompt = self.tok_encode(context) or [self.prefix_token_id]
            kept = prompt[-(self._length - ways[way]["new_tokens"]) :]
            lost = "prompts" if len(kept) < len(prompt) else ""
            self._count(request, len(kept), lost).add_settings(ways[way])
            alike.setdefault(way, []).append((i, kept))
        answers: dict[int, str] = {}
        for way, prompts in alike.items():
            prompts.sort(key=lambda prompt: -len(prompt[1]))
            for first in range(0, len(prompts), self._sequences):
                part = prompts[first : first + self._sequences]
                found = self._continue(adapter, [tokens for _, tokens in part], ways[way])
                answers.update(zip((i for i, _ in part), found, strict=True))
        return [answers[i] for i in range(len(requests))]

    def _settings(self, request: Any, wished: dict[str, Any]) -> dict[str, Any]:
        """Return how text is generated, as plain values; what an adapter cannot do is refused."""
        settings = normalize_gen_kwargs(wished, _DEFAULT_NEW_TOKENS)
        for name, value in settings.items():
            if name not in _PASSED and value != _WITHOUT_EFFECT.get(name):
                raise SpecError(
                    f"{_item(request)}: generation setting {name!r} is {value!r}; adapters take "
                    f"{', '.join(sorted(_PASSED))}"
                )
        new_tokens = int(settings["max_gen_toks"])
        if new_tokens >= self._length:
            raise SpecError(
                f"{_item(request)}: max_gen_toks {new_tokens} leaves no room for a prompt in the "
                f"model's context of {self._length} tokens"
            )
        names = {number: text for text, number in self._special.ids.items()}
        ends = [names[number] for number in self._special.ends if number in names]
        stops = [stop for stop in settings["until"] if stop]
        return {
            "stops": [*stops, *(end for end in ends if end not in stops)],
            "stop_ids": list(self._special.ends),
            "new_tokens": new_tokens,
            "sampling": _sampling(settings).model_dump(mode="json"),
        }

    def _continue(
        self, adapter: Generates, prompts: list[list[int]], settings: dict[str, Any]
    ) -> list[str]:
        """Return the continuations of prompts that run together."""
        special = {number: text for text, number in self._special.ids.items()}
        stops, ends = settings["stops"], settings["stop_ids"]
        rows = [Answer(adapter.decode, special, ends, stops) for _ in prompts]

        def on_step(step: Sequence[int | None]) -> bool:
            for row, token in zip(rows, step, strict=True):
                row.add(token)
            return all(row.ended for row in rows)

        generation = Generation(
            prompts=tuple(map(tuple, prompts)),
            new_tokens=settings["new_tokens"],
            sampling=Sampling.model_validate(settings["sampling"]),
            stop_ids=tuple(ends),
        )
        adapter.generate(generation, on_step)
        return [row.text() for row in rows]

    def _count(self, request: Any, tokens: int, lost: str) -> Sent:
        """Count a question that is sent; return what is counted for its task."""
        sent = self._sent[request.task_name or ""]
        sent.add(request.request_type, tokens, self._length)
        if lost:
            sent.cut[lost] += 1
        return sent

    def _reader(self) -> Tokenizes:
        if not isinstance(self._adapter, Tokenizes):
            raise UnsupportedError(f"adapter {self._adapter.name!r} reads no text")
        return self._adapter

    def _scorer(self) -> Scores:
        if not isinstance(self._adapter, Scores):
            raise UnsupportedError(f"adapter {self._adapter.name!r} gives no log-probabilities")
        return cast(Scores, self._adapter)

    def _named_token(self, number: int | None, missing: str) -> int:
        if number is None:
            raise UnsupportedError(f"the model has no {missing}; lm-eval needs one before a text")
        return number


def _item(request: Any) -> str:
    """Return what names the item of a request."""
    return f"task {request.task_name!r}: item {request.doc_id} counted from 0"


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
