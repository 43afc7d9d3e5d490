"""A GGUF model and its context, loaded by llama.cpp: tokens in, logits out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effmark.adapter import Sampling, SpecialTokens
from effmark.errors import AdapterError, OutOfMemoryError
from effmark_adapters.ggml.library import Batch, Library, drain_log

__all__ = ["BATCH_TOKENS", "Chooser", "LoadedModel", "read_texts"]

BATCH_TOKENS = 512
"""Most tokens given to one llama_decode, which is also llama.cpp's default microbatch."""


class LoadedModel:
    """One model with one context; its memory belongs to llama.cpp until `close`."""

    def __init__(
        self,
        library: Library,
        path: Path,
        *,
        context_tokens: int,
        sequences: int,
        threads: int,
        exact: bool = False,
    ) -> None:
        self._library = library
        drain_log()
        self._model = library.llama_model_load_from_file(
            str(path).encode(), library.llama_model_default_params()
        )
        if not self._model:
            raise _refused(f"cannot load {path.name}")
        numbers = (context_tokens * sequences, BATCH_TOKENS, BATCH_TOKENS, sequences)
        self._context, self._said = library.new_context(self._model, numbers, exact=exact)
        if not self._context:
            library.llama_model_free(self._model)
            raise _refused(f"cannot make a context of {context_tokens} x {sequences} tokens")
        library.llama_set_n_threads(self._context, threads, threads)
        self._memory = library.llama_get_memory(self._context)
        self.vocabulary = library.llama_model_get_vocab(self._model)
        self.vocabulary_count: int = library.llama_vocab_n_tokens(self.vocabulary)
        self._make_batch(sequences)
        self._views: dict[int, Any] = {}

    def _make_batch(self, sequences: int) -> None:
        import numpy as np

        self._tokens = np.zeros(BATCH_TOKENS, np.int32)
        self._positions = np.zeros(BATCH_TOKENS, np.int32)
        self._wanted = np.zeros(BATCH_TOKENS, np.int8)
        self._ones = np.ones(BATCH_TOKENS, np.int32)
        self._sequence_ids = np.arange(sequences, dtype=np.int32)
        first = self._sequence_ids.ctypes.data
        self._addresses = first + 4 * np.arange(sequences, dtype=np.uintp)
        self._owners = np.full(BATCH_TOKENS, first, np.uintp)
        self._batch = Batch(
            n_tokens=0,
            token=self._tokens.ctypes.data,
            embd=None,
            pos=self._positions.ctypes.data,
            n_seq_id=self._ones.ctypes.data,
            seq_id=self._owners.ctypes.data,
            logits=self._wanted.ctypes.data,
        )

    def clear(self) -> None:
        """Forget all sequences."""
        self._library.llama_memory_clear(self._memory, False)

    def truncate(self, tokens: int) -> bool:
        """Forget what sequence 0 holds beyond its first tokens; False where that cannot be done."""
        return bool(self._library.llama_memory_seq_rm(self._memory, 0, tokens, -1))

    def feed(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        wanted: Any,
    ) -> None:
        """Run the model over at most `BATCH_TOKENS` tokens.

        Args:
            tokens: Token ids.
            positions: The place of each token in its sequence.
            sequences: The sequence of each token.
            wanted: For each token whether its logits are wanted.
        """
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._owners[:count] = self._addresses[sequences]
        self._wanted[:count] = wanted
        self._decode(count)

    def step(self, tokens: Sequence[int], positions: Sequence[int], sequences: list[int]) -> None:
        """Run the model over one token of each sequence; the logits of all are wanted.

        The same as `feed` without array operations, which cost more than they save on a few
        numbers: 2 of 130 microseconds at a model of one million weights.

        Args:
            tokens: The next token, by sequence.
            positions: Its place, by sequence.
            sequences: Which sequences go on.
        """
        for row, sequence in enumerate(sequences):
            self._tokens[row] = tokens[sequence]
            self._positions[row] = positions[sequence]
            self._owners[row] = self._addresses[sequence]
            self._wanted[row] = 1
        self._decode(len(sequences))

    def _decode(self, count: int) -> None:
        self._batch.n_tokens = count
        status = self._library.llama_decode(self._context, self._batch)
        if status:
            raise _refused(f"llama_decode of {count} tokens returned {status}")

    def logits(self, row: int) -> Any:
        """Return the logits after a token of the last `feed`, valid until the next one."""
        import numpy as np

        address = self._library.llama_get_logits_ith(self._context, row)
        if not address:
            raise _refused(f"no logits at row {row}")
        view = self._views.get(address)
        if view is None:
            buffer = (ctypes.c_float * self.vocabulary_count).from_address(address)
            view = self._views[address] = np.frombuffer(memoryview(buffer), np.float32)
        return view

    def chooser(self, sampling: Sampling, seed: int) -> Chooser:
        """Return what picks the next token of one sequence."""
        return Chooser(self._library, self._context, sampling, seed)

    def synchronize(self) -> None:
        """Return when all work is done."""
        self._library.llama_synchronize(self._context)

    def encode(self, text: str, *, start: bool = False) -> list[int]:
        """Return the token ids of a text; special tokens in it are read as such.

        Args:
            text: The text.
            start: Whether what the tokenizer puts before a text by its own rule comes first.
        """
        raw = text.encode()
        room = len(raw) + 8
        found = (ctypes.c_int32 * room)()
        count = self._library.llama_tokenize(
            self.vocabulary, raw, len(raw), found, room, start, True
        )
        if count < 0:
            raise AdapterError(f"llama_tokenize needs {-count} tokens for {len(raw)} bytes")
        return found[:count]

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of a token; none for a special one unless asked for."""
        room = 256
        while True:
            buffer = ctypes.create_string_buffer(room)
            count: int = self._library.llama_token_to_piece(
                self.vocabulary, token, buffer, room, 0, special
            )
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def chat_template(self) -> str | None:
        """Return the Jinja text in the model's header."""
        template: bytes | None = self._library.llama_model_chat_template(self._model, None)
        return None if template is None else template.decode()

    def named_tokens(self) -> dict[str, str]:
        """Return the texts of the special tokens that chat templates name, as far as there are."""
        library, vocabulary = self._library, self.vocabulary
        numbers = {
            "bos_token": library.llama_vocab_bos(vocabulary),
            "eos_token": library.llama_vocab_eos(vocabulary),
            "pad_token": library.llama_vocab_pad(vocabulary),
            "sep_token": library.llama_vocab_sep(vocabulary),
        }
        return {name: self._name(number) for name, number in numbers.items() if number >= 0}

    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens as the file has them."""
        library, vocabulary = self._library, self.vocabulary
        tokens = range(self.vocabulary_count)
        bos, eos = library.llama_vocab_bos(vocabulary), library.llama_vocab_eos(vocabulary)
        special = [token for token in tokens if library.llama_vocab_is_control(vocabulary, token)]
        return SpecialTokens(
            ids={self._name(token): token for token in special},
            start=tuple(self.encode("", start=True)),
            bos=bos if bos >= 0 else None,
            eos=eos if eos >= 0 else None,
            ends=tuple(token for token in tokens if library.llama_vocab_is_eog(vocabulary, token)),
        )

    def _name(self, token: int) -> str:
        """Return the text that stands for a special token."""
        return self.piece(token, special=True).decode(errors="replace")

    def cache_b(self) -> int | None:
        """Return the bytes of the cache, as llama.cpp said when it took them; None: it did not."""
        said = self._said.get("cache_mib")
        return None if said is None else round(float(said) * 2**20)

    def runtime(self) -> dict[str, int | float | str | bool | None]:
        """Return what llama.cpp says of itself and of this context."""
        return {
            "system_info": self._library.llama_print_system_info().decode().strip(" |\n"),
            "batch_tokens": int(self._library.llama_n_batch(self._context)),
            "microbatch_tokens": int(self._library.llama_n_ubatch(self._context)),
            "sequences": int(self._library.llama_n_seq_max(self._context)),
            "kv_cache_type": self._said.get("keys", self._said.get("states")),
            "flash_attention": self._said.get("flash_attention"),
            "cache_tokens": int(self._library.llama_n_ctx(self._context)),
        }

    def close(self) -> None:
        """Give the memory of model and context back."""
        self._views.clear()
        if self._context:
            self._library.llama_free(self._context)
            self._library.llama_model_free(self._model)
            self._context = self._model = None


def read_texts(library: Library, path: Path, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts by the tokenizer of a GGUF file."""
    model = LoadedModel(library, path, context_tokens=32, sequences=1, threads=1)
    try:
        return [model.encode(text) for text in texts]
    finally:
        model.close()


class Chooser:
    """Picks the next token of one sequence: greedy, or by llama.cpp's own samplers."""

    def __init__(self, library: Library, context: Any, sampling: Sampling, seed: int) -> None:
        self._library = library
        self._context = context
        self._chain: Any = None
        if sampling.temperature > 0:
            self._chain = library.chain()
            for sampler in _samplers(library, sampling, seed):
                library.llama_sampler_chain_add(self._chain, sampler)

    def choose(self, model: LoadedModel, row: int) -> int:
        """Return the token that follows a row of the last `feed`."""
        if self._chain is None:
            return int(model.logits(row).argmax())
        return int(self._library.llama_sampler_sample(self._chain, self._context, row))

    def close(self) -> None:
        """Free the samplers."""
        if self._chain is not None:
            self._library.llama_sampler_free(self._chain)
            self._chain = None


def _samplers(library: Library, sampling: Sampling, seed: int) -> list[Any]:
    """Return temperature, top-k, top-p and the draw, in the order of Hugging Face."""
    samplers = [library.llama_sampler_init_temp(sampling.temperature)]
    if sampling.top_k > 0:
        samplers.append(library.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        samplers.append(library.llama_sampler_init_top_p(sampling.top_p, 1))
    return [*samplers, library.llama_sampler_init_dist(seed % 2**32)]


def _refused(what: str) -> AdapterError:
    """Return the error of a call that llama.cpp refused, with the reason from its log."""
    reason = drain_log()
    kind = OutOfMemoryError if "alloc" in reason else AdapterError
    return kind(f"llama.cpp: {what}: {reason}")
