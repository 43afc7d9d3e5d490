"""llama.cpp's C interface in a shared library, called through ctypes, its layout verified first.

Wheels of llama.cpp carry the whole C interface in one shared library, whatever Python interface
they put before it. Called directly it gives what a server in front of it does not: the id of
every token (a server holds back tokens that end inside a UTF-8 character), logits of every
position, batches in lockstep, and no thread, socket or signal handler of a server.

The parameter structs change between versions. They are therefore passed as blobs that
llama.cpp itself fills with defaults, larger than any version of them. Their first four numbers
are set after checking that they hold the known defaults. Exact arithmetic needs three more: flash
attention, the last of four neighbours that are -1, and the types of keys and values, the only two
neighbours that are "f16"; what they then really are is read from llama.cpp's log. `llama_batch`
is checked by letting the library fill one. What does not fit is refused by name.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError

__all__ = ["Batch", "Library", "drain_log", "open_library"]


class _Blob(ctypes.Structure):
    """A parameter struct of unknown length; by value it lies in memory, so more is harmless."""

    _fields_ = (("words", ctypes.c_uint32 * 256), ("align", ctypes.c_uint64))


class _ChainParams(ctypes.Structure):
    _fields_ = (("no_perf", ctypes.c_bool),)


class Batch(ctypes.Structure):
    """`llama_batch`: tokens with their positions and sequences."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.c_void_p),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.c_void_p),
        ("n_seq_id", ctypes.c_void_p),
        ("seq_id", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
    )


_P, _I, _U, _F, _S = (
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_uint32,
    ctypes.c_float,
    ctypes.c_char_p,
)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_quantize_chunk": (
        ctypes.c_size_t,
        (_I, _P, _P, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, _P),
    ),
    "llama_backend_init": (None, ()),
    "llama_batch_get_one": (Batch, (_P, _I)),
    "llama_context_default_params": (_Blob, ()),
    "llama_decode": (_I, (_P, Batch)),
    "llama_free": (None, (_P,)),
    "llama_get_logits_ith": (_P, (_P, _I)),
    "llama_get_memory": (_P, (_P,)),
    "llama_init_from_model": (_P, (_P, _Blob)),
    "llama_log_set": (None, (_P, _P)),
    "llama_memory_clear": (None, (_P, ctypes.c_bool)),
    "llama_memory_seq_rm": (ctypes.c_bool, (_P, _I, _I, _I)),
    "llama_model_chat_template": (_S, (_P, _S)),
    "llama_model_default_params": (_Blob, ()),
    "llama_model_free": (None, (_P,)),
    "llama_model_get_vocab": (_P, (_P,)),
    "llama_model_load_from_file": (_P, (_S, _Blob)),
    "llama_n_batch": (_U, (_P,)),
    "llama_n_ctx": (_U, (_P,)),
    "llama_n_seq_max": (_U, (_P,)),
    "llama_n_ubatch": (_U, (_P,)),
    "llama_print_system_info": (_S, ()),
    "llama_sampler_chain_add": (None, (_P, _P)),
    "llama_sampler_chain_init": (_P, (_ChainParams,)),
    "llama_sampler_free": (None, (_P,)),
    "llama_sampler_init_dist": (_P, (_U,)),
    "llama_sampler_init_temp": (_P, (_F,)),
    "llama_sampler_init_top_k": (_P, (_I,)),
    "llama_sampler_init_top_p": (_P, (_F, ctypes.c_size_t)),
    "llama_sampler_sample": (_I, (_P, _P, _I)),
    "llama_set_n_threads": (None, (_P, _I, _I)),
    "llama_synchronize": (None, (_P,)),
    "llama_token_to_piece": (_I, (_P, _I, _P, _I, _I, ctypes.c_bool)),
    "llama_tokenize": (_I, (_P, _S, _I, _P, _I, ctypes.c_bool, ctypes.c_bool)),
    "llama_vocab_bos": (_I, (_P,)),
    "llama_vocab_eos": (_I, (_P,)),
    "llama_vocab_is_control": (ctypes.c_bool, (_P, _I)),
    "llama_vocab_is_eog": (ctypes.c_bool, (_P, _I)),
    "llama_vocab_n_tokens": (_I, (_P,)),
    "llama_vocab_pad": (_I, (_P,)),
    "llama_vocab_sep": (_I, (_P,)),
}
_FIRST_DEFAULTS = (512, 2048, 512, 1)
"""n_ctx, n_batch, n_ubatch, n_seq_max: how llama_context_params begins, and its defaults."""
_PARAMS_WORDS = 48
"""Words of llama_context_params to look at; it has 34 to 36."""
_WARNING, _ERROR = 3, 4
"""Levels of ggml's log."""
_F32, _F16 = 0, 1
_K_TYPES = {"Q4_K": 12, "Q6_K": 14}
"""Numbers of ggml's types."""
_UNSET = 2**32 - 1
"""-1 as an unsigned word: rope scaling, pooling, attention, flash attention are `auto`."""
_OFF = 0
_SAID = {
    "keys": re.compile(rb" K \((\w+)\)"),
    "values": re.compile(rb" V \((\w+)\)"),
    "states": re.compile(rb" S \((\w+)\)"),
    "flash_attention": re.compile(rb"flash_attn\s*= (\w+)"),
}
"""What llama.cpp's log says of a context that it made."""
_CACHE_MIB = re.compile(rb"llama_(?:kv_cache|memory_recurrent): size =\s*([\d.]+) MiB")
"""One line per cache; models with sliding windows have two, states have one of their own."""

_log: deque[str] = deque(maxlen=8)
_said: dict[str, str] = {}


def drain_log() -> str:
    """Return the last warnings and errors of llama.cpp, for an error's sentence; forget them."""
    lines = "; ".join(_log)
    _log.clear()
    return lines or "no reason given"


def _keep(level: int, text: bytes | None, _: Any) -> None:
    if not text:
        return
    if level in (_WARNING, _ERROR):
        _log.append(text.decode(errors="replace").strip())
    for name, pattern in _SAID.items():
        if found := pattern.search(text):
            _said[name] = found[1].decode()
    if found := _CACHE_MIB.search(text):
        _said["cache_mib"] = str(float(_said.get("cache_mib", "0")) + float(found[1]))


_KEEP = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_keep)
"""What llama.cpp calls; it must live as long as the library does."""


class Library:
    """The functions of one shared library, typed; attribute access gives the C function."""

    def __init__(self, path: Path, owner: str) -> None:
        """Open a library.

        Args:
            path: The shared library.
            owner: Distribution and version, for errors.
        """
        self.owner = owner
        # Where llama.cpp aborts, what it says last shall be why, not what a debugger says of it.
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")
        self._functions = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._functions, name, None)
            if function is None:
                raise self._misfit(f"has no function {name} in {path.name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self._check_layout()
        self.llama_log_set(_KEEP, None)
        self.llama_backend_init()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # typed for mypy: the functions are set above

    def new_context(
        self, model: Any, numbers: Sequence[int], *, exact: bool
    ) -> tuple[Any, dict[str, str]]:
        """Return a new context of a model, or None, and what llama.cpp says of it.

        Args:
            model: A loaded model.
            numbers: Tokens of all caches, of a batch and of a microbatch; sequences.
            exact: f32 throughout. By default the cache is f16, and flash attention on a CPU
                rounds to f16 inside, whatever the cache holds: 1e-3 in a log-probability.
        """
        params: _Blob = self.llama_context_default_params()
        for i, value in enumerate(numbers):
            params.words[i] = value
        if exact:
            params.words[self._place([_UNSET] * 4, "flash attention") + 3] = _OFF
            at = self._place([_F16] * 2, "the types of the cache")
            params.words[at] = params.words[at + 1] = _F32
        _said.clear()
        context = self.llama_init_from_model(model, params)
        wanted = {"flash_attention": "disabled"}
        if "keys" in _said or "states" not in _said:  # a model may have states alone
            wanted |= {"keys": "f32", "values": "f32"}
        if context and exact and not wanted.items() <= _said.items():
            self.llama_free(context)
            raise self._misfit(f"made a context of {_said}, not of {wanted}")
        return context, dict(_said)

    def chain(self) -> Any:
        """Return a new, empty chain of samplers."""
        return self.llama_sampler_chain_init(_ChainParams(no_perf=True))

    def quantise(self, values: Any, kind: str) -> Any:
        """Return rows of bytes: a contiguous float32 matrix in one of ggml's K types."""
        import numpy as np
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        block, size_b = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
        *outer, columns = values.shape
        out = np.empty((*outer, columns // block * size_b), np.uint8)
        rows, number = values.size // columns, _K_TYPES[kind]
        self.ggml_quantize_chunk(
            number, values.ctypes.data, out.ctypes.data, 0, rows, columns, None
        )
        return out

    def _check_layout(self) -> None:
        first = tuple(self.llama_context_default_params().words[:4])
        if first != _FIRST_DEFAULTS:
            raise self._misfit(f"begins llama_context_params with {first}, not {_FIRST_DEFAULTS}")
        tokens = (ctypes.c_int32 * 1)()
        batch = self.llama_batch_get_one(tokens, 1)
        if (batch.n_tokens, batch.token) != (1, ctypes.addressof(tokens)) or any(
            (batch.embd, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits)
        ):
            raise self._misfit("has another llama_batch")

    def _place(self, words: list[int], what: str) -> int:
        """Return where llama_context_params has these default words; once, or it is refused."""
        defaults = self.llama_context_default_params().words[:_PARAMS_WORDS]
        size, start = len(words), len(_FIRST_DEFAULTS)
        found = [i for i in range(start, len(defaults)) if defaults[i : i + size] == words]
        if len(found) != 1:
            raise self._misfit(f"has {what} where it cannot be found")
        return found[0]

    def _misfit(self, what: str) -> PrerequisiteError:
        return PrerequisiteError(
            f"{self.owner} {what}; install a version that was tested: "
            "xllamacpp 2026.10.11549 or llama-cpp-python 0.3.36"
        )


@functools.cache
def open_library(path: Path, owner: str) -> Library:
    """Return the library at a path, opened and checked once per process."""
    return Library(path, owner)
