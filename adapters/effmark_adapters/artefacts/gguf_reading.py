"""Whether llama.cpp reads text as the tokenizer of a Hugging Face folder does, asked of both."""

from __future__ import annotations

import importlib.util
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.artefacts.gguf_source import Source, Tensor, Value
from effmark_adapters.artefacts.gguf_tokenizer import NORMALISER_KEY

__all__ = ["TEXTS", "Reads", "carrier", "check_reading", "normalised"]

TEXTS = (
    "",
    "Hello world",
    " leading and trailing ",
    "a  b   c    d\t\te \t f",
    "one\ntwo\n\nthree\r\nfour \n \n  five\n",
    "0 12 345 6789 10000 3.14159 2024-11-28 1e-5 ½ ²",
    "I'm you're they've we'll he'd it's DON'T I'LL O'Neil 'quoted'",
    "def f(x):\n    return x[0] + {'a': 1}  # comment\n",
    "https://example.org/?q=a&b=c#d user@example.org",
    "...!!??---___***((()))<>{}",
    "naïve café Zürich Ångström",
    "cafe\u0301 A\u030a",
    "Привет, мир! Γειά σου Κόσμε",  # noqa: RUF001 - Greek on purpose
    "漢字かな交じり文。你好,世界!",
    "नमस्ते दुनिया مرحبا بالعالم שלום",
    "👍🏽 👩‍👩‍👧 🇩🇪 𝒳 \u200b\u00a0.",  # noqa: RUF001 - a letter of mathematics
    "CamelCaseWord snake_case_word UPPER lower MiXeD",
)
"""What tokenizers differ in: spaces, digits, contractions, marks, scripts, joined characters."""

Reads = Callable[[Path, Sequence[str]], list[list[int]]]
"""Takes a GGUF file and texts, returns the token ids of each by llama.cpp."""


def check_reading(folder: Path, values: Sequence[Value], reads: Reads, write: Any) -> None:
    """Refuse a tokenizer that llama.cpp would read another way.

    Args:
        folder: The Hugging Face folder; where `tokenizers` is missing nothing can be compared.
        values: The entries of the header that were made of it.
        reads: llama.cpp.
        write: Writes a source as a GGUF file.

    Raises:
        UnsupportedError: with the first text that is read in two ways.
    """
    if importlib.util.find_spec("tokenizers") is None:
        return
    from tokenizers import Tokenizer

    try:
        own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # it raises nothing more special
        raise PrerequisiteError(
            f"{folder.name}: tokenizer.json cannot be read: {str(error)[:200]}; save it again"
        ) from error
    own.no_truncation()
    form = next((value.value for value in values if value.key == NORMALISER_KEY), None)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "tokenizer.gguf"
        write(carrier(values), "q8_0", path)
        found = reads(path, [normalised(text, form) for text in TEXTS])
    for text, ids in zip(TEXTS, found, strict=True):
        wanted = own.encode(text, add_special_tokens=False).ids
        if ids != wanted:
            raise UnsupportedError(
                f"{folder.name}: llama.cpp reads {text!r} as the tokens {ids}, tokenizer.json as "
                f"{wanted}; convert it with llama.cpp's convert_hf_to_gguf.py and give the file"
            )


def normalised(text: str, form: str | None) -> str:
    """Return a text in a Unicode form, as it is if there is none."""
    return unicodedata.normalize(form, text) if form else text  # type: ignore[arg-type]


def carrier(values: Sequence[Value]) -> Source:
    """Return the smallest model that a tokenizer can be loaded with."""
    tokens = next(value.value for value in values if value.key == "tokenizer.ggml.tokens")
    width = 32
    numbers = {
        **{"block_count": 1, "context_length": 32, "embedding_length": width},
        **{"feed_forward_length": width, "attention.head_count": 1, "rope.dimension_count": width},
    }
    shapes = {"token_embd": (len(tokens), width), "output_norm": (width,)}
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes |= {f"blk.0.{part}": (width, width) for part in square}
    shapes |= {f"blk.0.{part}": (width,) for part in ("attn_norm", "ffn_norm")}
    return Source(
        "llama",
        1,
        (
            *(Value(f"llama.{name}", number, "UINT32") for name, number in numbers.items()),
            Value("llama.attention.layer_norm_rms_epsilon", 1e-5, "FLOAT32"),
            *(value for value in values if value.key.startswith("tokenizer.")),
        ),
        tuple(_zeros(f"{name}.weight", shape) for name, shape in shapes.items()),
    )


def _zeros(name: str, shape: tuple[int, ...]) -> Tensor:
    import numpy as np

    return Tensor(name, shape, None, lambda: np.zeros(shape, np.float32))
