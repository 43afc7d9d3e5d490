"""PyTorch: models of transformers, eager or compiled, with torchao's packed weights.

* fp32, bf16: as they are.
* int8: weights only, one scale per row, bf16 activations; a tied embedding and head are one table.
* int4: weights only, groups of 32 along the row, bf16 activations; embedding, head and matrices
  whose shape the kernel does not take are int8.

Packing happens in `prepare`; `load` reads packed weights and never sees the full ones. Options:
`compile` (torch.compile of the decode step), `attention` (auto, sdpa, eager), `group_size` (int4).
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.cache import build_once
from effmark.errors import AdapterError, SpecError, UnsupportedError
from effmark.record import ModelFacts
from effmark_adapters.artefacts import facts
from effmark_adapters.artefacts.costs import costs_of, fields_of, prepare_costs
from effmark_adapters.artefacts.digits import digits_flops, digits_model
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder
from effmark_adapters.artefacts.tokenizer import ReadsText, TextTokenizer
from effmark_adapters.pytorch import request as requests

if TYPE_CHECKING:
    from effmark_adapters.pytorch.language_model import LanguageModel
    from effmark_adapters.pytorch.weights import Weights

__all__ = ["TorchAdapter"]


class TorchAdapter(ReadsText):
    """One model on PyTorch."""

    name: ClassVar[str] = "torch"
    precisions: ClassVar[tuple[str, ...]] = requests.PRECISIONS
    distributions: ClassVar[tuple[str, ...]] = ("torch", "transformers", "torchao")
    quantised: ClassVar[tuple[str, ...]] = ("fp8", "mxfp4")  # transformers expands them to bf16

    def __init__(self) -> None:
        self._request: LoadRequest | None = None
        self._weights: Weights | None = None
        self._language: LanguageModel | None = None
        self._tokenizer: TextTokenizer | None = None
        self._config: dict[str, Any] = {}
        self._compile_s: float | None = None

    @classmethod
    def import_runtime(cls) -> None:
        """Import torch and transformers."""
        from effmark_adapters.pytorch import language_model, weights  # noqa: F401

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Convert the model to a Hugging Face folder and pack its weights."""
        requests.check_request(request)
        if request.model.kind == "digits":
            digits_model(request.cache)
            return
        folder = hf_folder(request.model, request.cache)
        prepare_costs(request.model, folder, request.cache)
        from effmark_adapters.artefacts.hf_model import check_folder

        trust = request.model.trust_remote_code
        check_folder(folder, requests.attention(request), trust_remote_code=trust)
        if not requests.is_packed(request):
            return
        from effmark_adapters.pytorch.devices import memory_errors
        from effmark_adapters.pytorch.weights import save_packed

        what = f"{request.model.name} at {request.precision} for torch"
        precision, group = requests.stored_precision(request), requests.group(request)
        with memory_errors(what):
            build_once(
                request.cache,
                "torch",
                requests.packed_key(request),
                lambda out: save_packed(folder, precision, group, out, trust_remote_code=trust),
                what,
            )

    def load(self, request: LoadRequest) -> None:
        """Load the weights to the device; with the option `compile`, compile the decode step."""
        requests.check_request(request)
        import torch

        from effmark_adapters.pytorch.devices import find_device, memory_errors

        torch.set_num_threads(request.threads)
        device = find_device(request.device)
        with memory_errors(f"model {request.model.name!r}"):
            if request.model.kind == "digits":
                self._load_classifier(request, device)
            else:
                self._load_language_model(request, device)
        self._request = request

    def _load_classifier(self, request: LoadRequest, device: Any) -> None:
        from effmark_adapters.pytorch.weights import load_classifier

        folder = digits_model(request.cache)
        self._weights = load_classifier(folder, request.precision, device)
        self._config = facts.read_config(folder)

    def _load_language_model(self, request: LoadRequest, device: Any) -> None:
        import torch

        from effmark_adapters.pytorch import weights
        from effmark_adapters.pytorch.language_model import LanguageModel

        folder = prepared_hf_folder(request.model, request.cache)
        attention, trust = requests.attention(request), request.model.trust_remote_code
        if requests.is_packed(request):
            packed = requests.packed_folder(request)
            found = weights.load_packed(folder, packed, attention, trust_remote_code=trust)
        else:
            found = weights.load_full(folder, torch.float32, attention, trust_remote_code=trust)
        found.net.to(device)
        if request.precision == "int4" and device.type != "cpu":
            weights.pack_for_gpu(found, requests.group(request), request.model.name)
        self._weights, self._config = found, facts.read_config(folder)
        self._tokenizer = TextTokenizer(folder)
        self._language = LanguageModel(found.net, device, request.context_tokens)
        if request.options.get("compile"):
            self._compile_s = self._language.compile_steps({1, request.batch})

    def facts(self) -> ModelFacts:
        """Return what the tensors and the files say."""
        from effmark_adapters.pytorch import description

        request, weights = self._loaded()
        weights_b = weights.held_b()
        if self._language is None:
            config = facts.flat_config(self._config)
            of_model: dict[str, Any] = {"flops_per_unit": digits_flops(), "config": config}
        else:
            folder = prepared_hf_folder(request.model, request.cache)
            costs = costs_of(request.model, folder, request.cache)
            of_model = fields_of(costs, self._config, 4 if request.precision == "fp32" else 2)
        return ModelFacts(
            parameters=weights.parameters,
            weights_b=weights_b,
            file_b=facts.bytes_on_disk(weights.files),
            effective_bits=8 * weights_b / weights.parameters,
            kernel=description.kernel(request),
            weights="trained",
            weights_source=requests.weights_source(request),
            quantisation=description.quantisation(request, weights),
            runtime=description.runtime(request, weights, self._compile_s) | self._calls(),
            **of_model,
        )

    def _calls(self) -> dict[str, str]:
        return {} if self._language is None else self._language.calls.describe()

    def synchronize(self) -> None:
        """Return when the device is idle; a CPU is when a call returns."""
        if self._request is not None and self._request.device != "cpu":
            from effmark_adapters.pytorch.devices import find_device, wait_for

            wait_for(find_device(self._request.device))

    def close(self) -> None:
        """Drop the model and what hangs on it."""
        self._request = self._weights = self._language = self._tokenizer = None
        gc.collect()

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue prompts, greedily or sampled."""
        from effmark_adapters.pytorch.devices import memory_errors

        language = self._language_model()
        for prompt in generation.prompts:
            self._check_prompt(prompt, len(prompt), generation.new_tokens)
        with memory_errors(f"a batch of {len(generation.prompts)} prompts"):
            language.generate(generation, on_step)

    def replay(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[Array]:
        """Return the log-probabilities that decoding gives when it is made to choose tokens."""
        from effmark_adapters.pytorch.devices import memory_errors

        language = self._language_model()
        for prompt, continuation in zip(prompts, continuations, strict=True):
            self._check_prompt((*prompt, *continuation), len(prompt), len(continuation))
        with memory_errors(f"a batch of {len(prompts)} prompts"):
            return language.replay(prompts, continuations)

    def kv_cache_b(self) -> int:
        """Return the bytes held for the KV cache of the request in flight."""
        return self._language_model().kv_cache_b()

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return the log-probabilities of continuations."""
        from effmark_adapters.pytorch.devices import memory_errors

        language = self._language_model()
        for context, continuation in pairs:
            # The model never reads the last token, it only says how likely that one was.
            read = max(len(continuation) - 1, 0)
            self._check_prompt((*context, *continuation), len(context), read)
        with memory_errors(f"scoring {len(pairs)} texts"):
            return language.log_probs(pairs)

    def infer(self, batch: Array) -> Array:
        """Return the outputs of the classifier as float32."""
        from effmark_adapters.pytorch.devices import memory_errors
        from effmark_adapters.pytorch.weights import run_classifier

        request, weights = self._loaded()
        if self._language is not None:
            raise UnsupportedError("torch: infer needs a classifier, this is a language model")
        with memory_errors(f"a batch of {len(batch)} inputs"):
            return run_classifier(weights, request.precision, batch)

    def _loaded(self) -> tuple[LoadRequest, Weights]:
        if self._request is None or self._weights is None:
            raise AdapterError("torch: no model is loaded; call load first")
        return self._request, self._weights

    def _language_model(self) -> LanguageModel:
        self._loaded()
        if self._language is None:
            raise UnsupportedError("torch: this model is a classifier, it has no text")
        return self._language

    def _text(self) -> TextTokenizer:
        self._language_model()
        assert self._tokenizer is not None  # loaded with the language model
        return self._tokenizer

    def _check_prompt(self, ids: Sequence[int], prompt_tokens: int, new_tokens: int) -> None:
        if prompt_tokens < 1:
            raise SpecError("torch: a prompt has 0 tokens; it needs at least 1")
        request, _ = self._loaded()
        rows = self._language_model().calls.vocabulary
        if max(ids) >= rows:
            raise UnsupportedError(
                f"torch: model {request.model.name!r} has no token {max(ids)}, its embedding has "
                f"{rows} rows; its tokenizer knows more tokens than the model"
            )
        longest = facts.context_tokens(self._config) or request.context_tokens
        if request.options.get("compile"):  # the room of a compiled step is fixed
            longest = min(longest, request.context_tokens)
        if prompt_tokens + new_tokens > longest:
            raise SpecError(
                f"torch: {prompt_tokens} prompt and {new_tokens} new tokens exceed the context of "
                f"{longest} tokens"
            )
