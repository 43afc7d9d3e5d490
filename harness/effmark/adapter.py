"""The adapter contract: what a runtime must offer to be measured.

One class, five methods, and the capabilities it has:

    class MyAdapter:                      # named by an entry point in the group "effmark.adapters"
        name = "my-runtime"
        precisions = ("fp32", "int8")

        @classmethod
        def prepare(cls, request): ...    # convert and cache what `load` needs; its own process
        def load(self, request): ...      # ready for the first request
        def facts(self): ...              # parameters, bytes, bits, kernel kind
        def synchronize(self): ...        # return when the device is idle
        def close(self): ...              # give all memory back

Time is read by the harness, never by the adapter: `generate` hands over each step's token ids
through `on_step` as Python integers, so they are on the host when the clock is read; `log_probs`
and `infer` return host arrays; and the harness calls `synchronize` at both ends of every block.
An adapter on an asynchronous device therefore cannot report work that is still queued.

Two more members of the class are used where an adapter has them: `distributions`, the packages
whose versions belong to a result's identity, and `import_runtime`, which is called before `load`
so that the time of imports (`import_s`) and of loading (`load_s`) stay apart.

What a runtime cannot do it refuses by name with `UnsupportedError`; what does not fit it reports
with `OutOfMemoryError`; what must be installed first with `PrerequisiteError`. Heavy imports
belong into the methods, so that listing adapters costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from effmark.record import ModelFacts
from effmark.schema import Frozen
from effmark.spec import ModelRef, OptionValue

__all__ = [
    "Adapter",
    "Array",
    "Generates",
    "Generation",
    "HoldsCache",
    "ImportsRuntime",
    "Infers",
    "LoadRequest",
    "OnStep",
    "Replays",
    "Sampling",
    "Scores",
    "SpecialTokens",
    "TellsSpecialTokens",
    "Tokenizes",
    "begin",
    "special_tokens",
]

Array = Any
"""A host array with the buffer protocol (numpy in practice; the harness core imports none)."""

OnStep = Callable[[Sequence[int | None]], bool]
"""Called after every decode step with one token id per sequence (None for a sequence that has
ended); the ids must be on the host. Returns True when the generation shall end now."""


class LoadRequest(Frozen):
    """Everything an adapter needs to load a model."""

    model: ModelRef
    precision: str
    device: str = "cpu"
    """`cpu`, `cuda:0`, `rocm:0` … as the runtime names it."""
    threads: int = 1
    """Threads for the arithmetic; 1 or more."""
    context_tokens: int = 1024
    """Longest prompt plus output of any request that will come."""
    batch: int = 1
    """Most sequences that will run together."""
    options: dict[str, OptionValue] = {}
    """Runtime-specific knobs from the suite, `compile: true` say; unknown ones are refused."""
    cache: Path
    """Folder for converted artefacts."""


class Sampling(Frozen):
    """How the next token is chosen."""

    temperature: float = 0.0
    """0 is greedy."""
    top_k: int = 0
    """0 keeps all."""
    top_p: float = 1.0
    seed: int = 0


class Generation(Frozen):
    """A batch of prompts to continue together."""

    prompts: tuple[tuple[int, ...], ...]
    """Token ids, at least one per prompt; lengths may differ."""
    new_tokens: int
    """Most tokens per sequence; exactly that many unless `stop_ids` or `on_step` end it."""
    sampling: Sampling = Sampling()
    stop_ids: tuple[int, ...] = ()
    """Token ids that end a sequence; they are delivered, what follows is None."""


@runtime_checkable
class Adapter(Protocol):
    """One runtime that holds one model; made by the worker, used by one thread, closed once."""

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]]

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Make what `load` needs, once, in the cache; runs in a process of its own.

        Raises:
            UnsupportedError: the precision, device, model or option is not for this runtime.
            PrerequisiteError: a package or a file must be installed first.
        """

    def load(self, request: LoadRequest) -> None:
        """Load the prepared model; afterwards the first request can come."""

    def facts(self) -> ModelFacts:
        """Return what is known of the loaded model, read from its tensors, not from its name."""

    def synchronize(self) -> None:
        """Return when all work given to the device is done."""

    def close(self) -> None:
        """Free the model; calling it twice is allowed."""


@runtime_checkable
class ImportsRuntime(Protocol):
    """A class of adapters that can import its runtime ahead of loading."""

    @classmethod
    def import_runtime(cls) -> None:
        """Import all that `load` would import."""


@runtime_checkable
class Tokenizes(Protocol):
    """An adapter whose model reads text."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens are left out."""

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the prompt text that the model's chat template makes of messages.

        It is ready for the assistant's words; where the last message is the assistant's, these are
        left open, so that the model continues them.

        Raises:
            UnsupportedError: the model has no chat template.
        """


class SpecialTokens(Frozen):
    """The tokens of a tokenizer that are no text, and how it uses them."""

    ids: dict[str, int] = {}
    """By the text that stands for each; `decode` leaves them out."""
    start: tuple[int, ...] = ()
    """What the tokenizer puts before a text by its own rule; `encode` does not."""
    bos: int | None = None
    eos: int | None = None
    ends: tuple[int, ...] = ()
    """Every token that ends an answer, as the files of the model say."""


@runtime_checkable
class TellsSpecialTokens(Protocol):
    """An adapter that knows the special tokens of its model.

    Without it, evaluations find stop strings in text only and take begin and end from the config.
    """

    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens of the loaded model."""


def special_tokens(adapter: object, facts: ModelFacts) -> SpecialTokens:
    """Return the special tokens of a model; of its config where the adapter does not tell."""
    if isinstance(adapter, TellsSpecialTokens):
        return adapter.special_tokens()
    bos, eos = (
        value if type(value := facts.config.get(key)) is int else None
        for key in ("bos_token_id", "eos_token_id")
    )
    return SpecialTokens(bos=bos, eos=eos, ends=() if eos is None else (eos,))


def begin(adapter: Tokenizes, ids: Sequence[int]) -> list[int]:
    """Return token ids begun as the model's own tokenizer begins a text, if they are not yet."""
    start = list(adapter.special_tokens().start) if isinstance(adapter, TellsSpecialTokens) else []
    return list(ids) if list(ids[: len(start)]) == start else [*start, *ids]


@runtime_checkable
class Generates(Tokenizes, Protocol):
    """An adapter that continues text token by token with a KV cache."""

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue the prompts; call `on_step` once per step with the ids on the host."""


@runtime_checkable
class HoldsCache(Protocol):
    """A generating adapter that knows how much memory its KV cache takes."""

    def kv_cache_b(self) -> int | None:
        """Return the bytes held for the cache of the request in flight; asked within `on_step`.

        What is allocated counts, filled or not; None where the runtime does not tell it.
        """


@runtime_checkable
class Scores(Tokenizes, Protocol):
    """An adapter that gives log-probabilities of a text."""

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return for each (context, continuation) an array [len(continuation), vocabulary].

        Row i holds natural-log probabilities (float32) of the token at position i of the
        continuation, given the context and the continuation before it. Contexts hold at least
        one token. Pairs with equal contexts may share its computation.
        """


@runtime_checkable
class Replays(Generates, Protocol):
    """A generating adapter that can show what its decode path computes, for the proof."""

    def replay(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[Array]:
        """Return for each prompt the log-probabilities [len(continuation), vocabulary] of decoding.

        Args:
            prompts: token ids, at least one per prompt; lengths may differ.
            continuations: the ids that decoding is made to choose, equally many for each prompt.

        Row i holds natural-log probabilities (float32) from which `generate` would have chosen
        token i: by the same prefill of the batch, the same cache and the same steps.
        """


@runtime_checkable
class Infers(Protocol):
    """An adapter that maps a batch of inputs to a batch of outputs."""

    def infer(self, batch: Array) -> Array:
        """Return the outputs [n, …] of the inputs [n, …], both host arrays of float32."""
