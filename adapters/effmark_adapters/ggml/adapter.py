"""The adapter of llama.cpp, for whichever library carries it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep, SpecialTokens
from effmark.errors import (
    AdapterError,
    OutOfMemoryError,
    PrerequisiteError,
    SpecError,
    UnsupportedError,
)
from effmark.record import ModelFacts
from effmark_adapters.artefacts.chat_template import render_chat
from effmark_adapters.artefacts.facts import (
    context_tokens,
    flops_per_token,
    kv_bytes_per_token,
)
from effmark_adapters.artefacts.gguf_file import AS_IS, GgufFile, gguf_file
from effmark_adapters.artefacts.gguf_types import PRECISIONS
from effmark_adapters.ggml.library import Library, open_library
from effmark_adapters.ggml.model import BATCH_TOKENS, Chooser, LoadedModel

__all__ = ["GgufAdapter"]

_QUANTISED_ACTIVATIONS = "int8 per block of the weights"


class GgufAdapter:
    """llama.cpp on a GGUF file; a subclass names the distribution that carries the library.

    All sequences of a batch advance in lockstep, one llama_decode per step. Greedy tokens are the
    argmax of the logits, sampled ones come from llama.cpp's own samplers, one chain and seed
    (seed + i) per sequence. Nothing of a request is kept for the next one. Everything else is as
    llama.cpp has it by default, but with f32 weights the cache is f32 and flash attention off:
    that is the exact reference; `facts().runtime` says which.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = (*PRECISIONS, AS_IS)
    distributions: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    """Where in the package the library is, as glob patterns."""

    def __init__(self) -> None:
        self._request: LoadRequest | None = None
        self._file: GgufFile | None = None
        self._model: LoadedModel | None = None

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Make the GGUF file."""
        cls._make_file(request)

    @classmethod
    def _make_file(cls, request: LoadRequest) -> GgufFile:
        if request.precision not in cls.precisions:
            known = ", ".join(cls.precisions)
            raise UnsupportedError(f"precision {request.precision!r} is not one of {known}")
        if request.device != "cpu":
            raise UnsupportedError(f"device {request.device!r}: {cls.name} runs on 'cpu'")
        if request.options:
            raise UnsupportedError(f"options {sorted(request.options)}: {cls.name} has none")
        return gguf_file(request, cls._library().quantise)

    @classmethod
    def _library(cls) -> Library:
        remedy = f"install it with: pip install 'effmark[{cls.name}]'"
        for package in (cls.package, "gguf", "numpy"):
            if importlib.util.find_spec(package) is None:
                raise PrerequisiteError(f"adapter {cls.name!r} needs {package!r}; {remedy}")
        spec = importlib.util.find_spec(cls.package)
        folders = [Path(p) for p in (spec and spec.submodule_search_locations) or ()]
        found = [path for f in folders for glob in cls.libraries for path in sorted(f.glob(glob))]
        owner = f"{cls.distributions[0]} {importlib.metadata.version(cls.distributions[0])}"
        if not found:
            raise PrerequisiteError(f"{owner} has no library {cls.libraries[0]!r}; {remedy}")
        return open_library(found[0], owner)

    def load(self, request: LoadRequest) -> None:
        """Load the GGUF file and make a context for the largest request."""
        self.close()
        self._file = self._make_file(request)
        _check_memory(self._file, request)
        self._request = request
        self._model = LoadedModel(
            self._library(),
            self._file.path,
            context_tokens=request.context_tokens,
            sequences=request.batch,
            threads=request.threads,
            exact=_is_exact(self._file),
        )

    def facts(self) -> ModelFacts:
        """Return what the tensors of the file say."""
        model, request = self._loaded()
        assert self._file is not None
        facts = self._file.facts
        return ModelFacts(
            parameters=facts.parameters,
            weights_b=facts.weights_b,
            file_b=facts.file_b,
            effective_bits=8 * facts.weights_b / facts.parameters,
            kernel="native",
            weights="trained",
            weights_source=request.model.weights_source,
            kv_bytes_per_token=_cache_b(self._file),
            flops_per_unit=flops_per_token(facts.config),
            context_tokens=context_tokens(facts.config),
            config=facts.config,
            quantisation=_quantisation(self._file),
            runtime={
                "version": self._library().owner,
                "threads": request.threads,
                **model.runtime(),
            },
        )

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue the prompts in lockstep."""
        model, request = self._loaded()
        _check_room(generation, request)
        model.clear()
        with ExitStack() as stack:
            choosers = []
            for i in range(len(generation.prompts)):
                chooser = model.chooser(generation.sampling, generation.sampling.seed + i)
                stack.callback(chooser.close)
                choosers.append(chooser)
            _continue(model, generation, choosers, on_step)

    def kv_cache_b(self) -> int | None:
        """Return the bytes of the KV cache, which has room for the largest request."""
        return self._loaded()[0].cache_b()

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return the log-probabilities of each continuation; equal beginnings run once."""
        model, request = self._loaded()
        model.clear()
        held: list[int] = []
        scores = []
        for context, continuation in pairs:
            tokens = [*context, *continuation[:-1]]
            if not context or len(tokens) > request.context_tokens:
                raise SpecError(
                    f"{len(context)} + {len(continuation)} tokens to score; a context holds at "
                    f"least 1, and together {request.context_tokens} at most"
                )
            kept = min(_common(held, tokens), len(context) - 1)
            scores.append(_score(model, tokens, kept, len(continuation)))
            held = tokens
        return scores

    def encode(self, text: str) -> list[int]:
        """Return token ids by the file's own tokenizer."""
        return self._loaded()[0].encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        model, _ = self._loaded()
        return b"".join(model.piece(token) for token in ids).decode(errors="replace")

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the prompt that the file's chat template makes."""
        model, request = self._loaded()
        template = model.chat_template()
        if template is None:
            raise UnsupportedError(f"model {request.model.name!r} has no chat template")
        named = model.named_tokens()
        return render_chat(template, messages, named, f"model {request.model.name!r}")

    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens of the file's own tokenizer."""
        return self._loaded()[0].special_tokens()

    def synchronize(self) -> None:
        """Return when llama.cpp is idle."""
        if self._model is not None:
            self._model.synchronize()

    def close(self) -> None:
        """Free model and context."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def _loaded(self) -> tuple[LoadedModel, LoadRequest]:
        if self._model is None or self._request is None:
            raise AdapterError(f"{self.name}: no model is loaded; call load first")
        return self._model, self._request


def _quantisation(file: GgufFile) -> dict[str, int | float | str | bool | None]:
    facts = file.facts
    floats = facts.matrix_type in ("F32", "F16", "BF16")
    return {
        "scheme": facts.matrix_type,
        "matrix_bits": facts.matrix_bits,
        "embedding_bits": facts.embedding_bits,
        "head_bits": facts.head_bits,
        "embedding_type": facts.embedding_type,
        "head_type": facts.head_type,
        "group_size": None if floats else 256 if facts.matrix_type.endswith("_K") else 32,
        "symmetric": None if floats else facts.matrix_type in ("Q4_0", "Q5_0", "Q6_K", "Q8_0"),
        "activations": facts.matrix_type if floats else _QUANTISED_ACTIVATIONS,
        **{f"tensors_{kind}": count for kind, count in facts.types.items()},
    }


def _is_exact(file: GgufFile) -> bool:
    """Return whether to calculate in f32 throughout, which is done where all weights are f32."""
    return file.facts.matrix_type == "F32"


def _cache_b(file: GgufFile) -> int:
    """Return the bytes of keys and values of one token."""
    return kv_bytes_per_token(file.facts.config, 4 if _is_exact(file) else 2)


def _check_memory(file: GgufFile, request: LoadRequest) -> None:
    """Refuse a cache that the machine cannot hold: llama.cpp would be killed while it clears it."""
    tokens = request.context_tokens * request.batch
    need_b = file.facts.weights_b + tokens * _cache_b(file)
    have_b = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need_b > have_b:
        raise OutOfMemoryError(
            f"llama.cpp: weights and a cache of {request.context_tokens} x {request.batch} tokens "
            f"need {need_b} bytes, this machine has {have_b}"
        )


def _check_room(generation: Generation, request: LoadRequest) -> None:
    if len(generation.prompts) > request.batch:
        raise SpecError(
            f"{len(generation.prompts)} prompts together, loaded for {request.batch}; "
            "load with a larger batch"
        )
    longest = max(len(prompt) for prompt in generation.prompts)
    if not all(generation.prompts) or longest + generation.new_tokens > request.context_tokens:
        raise SpecError(
            f"a prompt of {longest} and {generation.new_tokens} new tokens; prompts hold at least "
            f"1 token, and together {request.context_tokens} at most"
        )


def _continue(
    model: LoadedModel, generation: Generation, choosers: list[Chooser], on_step: OnStep
) -> None:
    step = _prefill(model, generation.prompts, choosers)
    lengths = [len(prompt) for prompt in generation.prompts]
    live = list(range(len(lengths)))
    for left in range(generation.new_tokens - 1, -1, -1):
        tokens: list[int | None] = [None] * len(lengths)
        for i in live:
            tokens[i] = step[i]
        if on_step(tokens) or not left:
            return
        if generation.stop_ids:
            live = [i for i in live if step[i] not in generation.stop_ids]
        if not live:
            return
        model.step(step, lengths, live)
        for row, i in enumerate(live):
            step[i] = choosers[i].choose(model, row)
            lengths[i] += 1


def _prefill(
    model: LoadedModel, prompts: Sequence[Sequence[int]], choosers: list[Chooser]
) -> list[int]:
    """Return the first new token of every prompt."""
    tokens = [token for prompt in prompts for token in prompt]
    places = [(i, at) for i, prompt in enumerate(prompts) for at in range(len(prompt))]
    ends = [at == len(prompts[i]) - 1 for i, at in places]
    step = [0] * len(prompts)
    for first in range(0, len(tokens), BATCH_TOKENS):
        part = slice(first, first + BATCH_TOKENS)
        model.feed(
            tokens[part], [at for _, at in places[part]], [i for i, _ in places[part]], ends[part]
        )
        for row, ((i, _), end) in enumerate(zip(places[part], ends[part], strict=True)):
            if end:
                step[i] = choosers[i].choose(model, row)
    return step


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens are equal."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _score(model: LoadedModel, tokens: list[int], kept: int, rows: int) -> Any:
    """Return natural-log probabilities after the last `rows` tokens; `kept` are in the cache."""
    import numpy as np

    out = np.empty((rows, model.vocabulary_count), np.float32)
    if not rows:
        return out
    model.truncate(kept)
    start = len(tokens) - rows
    for first in range(kept, len(tokens), BATCH_TOKENS):
        positions = range(first, min(first + BATCH_TOKENS, len(tokens)))
        part = tokens[first : positions.stop]
        model.feed(part, positions, [0] * len(part), [at >= start for at in positions])
        for row, at in enumerate(positions):
            if at >= start:
                out[at - start] = model.logits(row)
    out -= out.max(axis=1, keepdims=True)
    out -= np.log(np.exp(out).sum(axis=1, dtype=np.float64, keepdims=True)).astype(np.float32)
    return out
