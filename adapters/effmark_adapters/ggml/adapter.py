"""The adapter of llama.cpp, for whichever library carries it."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

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
from effmark_adapters.artefacts.costs import (
    Costs,
    costs_by_formula,
    costs_of,
    fields_of,
    prepare_costs,
)
from effmark_adapters.artefacts.gguf_facts import GgufFacts
from effmark_adapters.artefacts.gguf_file import AS_IS, GgufFile, gguf_file
from effmark_adapters.artefacts.gguf_reading import normalised
from effmark_adapters.artefacts.gguf_types import PRECISIONS
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder
from effmark_adapters.ggml.decoding import (
    Forced,
    check_room,
    check_tokens,
    common_length,
    continue_prompts,
    score,
)
from effmark_adapters.ggml.description import is_exact, quantisation
from effmark_adapters.ggml.library import Library, open_library
from effmark_adapters.ggml.model import LoadedModel, read_texts

__all__ = ["GgufAdapter"]


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
        if request.model.kind == "hf":
            folder = hf_folder(request.model, request.cache)
            prepare_costs(request.model, folder, request.cache)

    @classmethod
    def _make_file(cls, request: LoadRequest) -> GgufFile:
        if request.precision not in cls.precisions:
            known = ", ".join(cls.precisions)
            raise UnsupportedError(f"precision {request.precision!r} is not one of {known}")
        if request.device != "cpu":
            raise UnsupportedError(f"device {request.device!r}: {cls.name} runs on 'cpu'")
        if request.options:
            raise UnsupportedError(f"options {sorted(request.options)}: {cls.name} has none")
        library = cls._library()
        return gguf_file(request, library.quantise, functools.partial(read_texts, library))

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
            exact=is_exact(self._file.facts),
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
            quantisation=quantisation(facts),
            runtime={
                "version": self._library().owner,
                "threads": request.threads,
                **model.runtime(),
            },
            **fields_of(self._costs(request, facts), facts.config, 4 if is_exact(facts) else 2),
        )

    @staticmethod
    def _costs(request: LoadRequest, facts: GgufFacts) -> Costs:
        if request.model.kind != "hf":
            return costs_by_formula(facts.config)
        folder = prepared_hf_folder(request.model, request.cache)
        return costs_of(request.model, folder, request.cache)

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue the prompts in lockstep."""
        model, request = self._loaded()
        check_room(model, generation, request)
        model.clear()
        with ExitStack() as stack:
            choosers = []
            for i in range(len(generation.prompts)):
                chooser = model.chooser(generation.sampling, generation.sampling.seed + i)
                stack.callback(chooser.close)
                choosers.append(chooser)
            continue_prompts(model, generation, choosers, on_step)

    def replay(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[Array]:
        """Return the log-probabilities from which `generate` would have chosen these tokens."""
        model, request = self._loaded()
        count = len(continuations[0])
        generation = Generation(prompts=tuple(map(tuple, prompts)), new_tokens=count)
        check_room(model, generation, request)
        check_tokens(model, *continuations)
        model.clear()
        choosers = [Forced(continuation) for continuation in continuations]
        continue_prompts(model, generation, choosers, lambda _: False)
        return [chooser.log_probs() for chooser in choosers]

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
            check_tokens(model, context, continuation)
            tokens = [*context, *continuation[:-1]]
            if not context or len(tokens) > request.context_tokens:
                raise SpecError(
                    f"{len(context)} + {len(continuation)} tokens to score; a context holds at "
                    f"least 1, and together {request.context_tokens} at most"
                )
            kept = min(common_length(held, tokens), len(context) - 1)
            scores.append(score(model, tokens, kept, len(continuation)))
            held = tokens if continuation else held
        return scores

    def encode(self, text: str) -> list[int]:
        """Return token ids by the file's own tokenizer."""
        model, _ = self._loaded()
        assert self._file is not None
        return model.encode(normalised(text, self._file.facts.normaliser))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        model, _ = self._loaded()
        assert self._file is not None
        text = b"".join(model.piece(token) for token in ids).decode(errors="replace")
        return text.removeprefix(" ") if self._file.facts.space_first else text

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
        model, _ = self._loaded()
        assert self._file is not None
        found, ends = model.special_tokens(), self._file.facts.ends
        return found if ends is None else found.model_copy(update={"ends": ends})

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


def _check_memory(file: GgufFile, request: LoadRequest) -> None:
    """Refuse a cache that the machine cannot hold: llama.cpp would be killed while it clears it."""
    tokens = request.context_tokens * request.batch
    cache_b = file.facts.cache_elements * (4 if is_exact(file.facts) else 2)
    need_b = file.facts.weights_b + tokens * cache_b
    have_b = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need_b > have_b:
        raise OutOfMemoryError(
            f"llama.cpp: weights and a cache of {request.context_tokens} x {request.batch} tokens "
            f"need {need_b} bytes, this machine has {have_b}"
        )
