"""llama.cpp built on this machine (llama-cpp-python): kernels for all that its CPU has.

The same engine and the same adapter as `llama-cpp`, other machine code: AVX-512, VNNI and BF16
where the prebuilt wheel stops at AVX2. `facts().runtime["system_info"]` tells them apart.
"""

from __future__ import annotations

from typing import ClassVar

from effmark_adapters.ggml.adapter import GgufAdapter

__all__ = ["LlamaCppNativeAdapter"]


class LlamaCppNativeAdapter(GgufAdapter):
    """llama.cpp as llama-cpp-python builds it."""

    name: ClassVar[str] = "llama-cpp-native"
    distributions: ClassVar[tuple[str, ...]] = ("llama-cpp-python",)
    package: ClassVar[str] = "llama_cpp"
    libraries: ClassVar[tuple[str, ...]] = ("lib/libllama.so", "lib/libllama.dylib")
