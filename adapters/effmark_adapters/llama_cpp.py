"""llama.cpp from a prebuilt wheel (xllamacpp): no compiler needed, kernels up to AVX2.

Only the shared library of the wheel is used, through llama.cpp's C interface
(`effmark_adapters.ggml.library` says why): the wheel's server is never started.
"""

from __future__ import annotations

from typing import ClassVar

from effmark_adapters.ggml.adapter import GgufAdapter

__all__ = ["LlamaCppAdapter"]


class LlamaCppAdapter(GgufAdapter):
    """llama.cpp as xllamacpp's wheel carries it."""

    name: ClassVar[str] = "llama-cpp"
    distributions: ClassVar[tuple[str, ...]] = ("xllamacpp",)
    package: ClassVar[str] = "xllamacpp"
    libraries: ClassVar[tuple[str, ...]] = ("xllamacpp*.so",)
