"""What a model of transformers says: eager attention, no cache, no padding, one text at a time.

Full weights in fp32, which holds fp16 and bf16 weights exactly; where fp32 does not fit into
memory, the precision of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effmark.errors import OutOfMemoryError, PrerequisiteError
from effmark.proof import STEPS, TEXT, Answers, questions
from effmark.spec import ModelRef
from effmark_adapters.artefacts.facts import (
    bytes_on_disk,
    context_tokens,
    read_config,
    weight_files,
)
from effmark_adapters.artefacts.hf_folder import hf_folder

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersReference"]


class TransformersReference:
    """The source model, run as plainly as transformers can."""

    distributions: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers")

    def answers(self, model: ModelRef, cache: Path, memory_b: int) -> Answers:
        """Return what a Hugging Face folder, or one made from a GGUF file, says."""
        folder = hf_folder(model, cache)
        network, arithmetic = _load(folder, memory_b, trusted=model.trust_remote_code)
        longest = context_tokens(read_config(folder))
        reads, begin = _tokens(folder)
        text, prompts = questions(_known(reads, network.config), begin, longest)
        text_rows = _rows(network, text)[:-1]
        decoded = [_continue(network, prompt) for prompt in prompts]
        return Answers(
            reads=tuple(reads),
            text=text,
            text_rows=text_rows.numpy(),
            prompts=prompts,
            continuations=tuple(tokens for tokens, _ in decoded),
            decode_rows=tuple(rows.numpy() for _, rows in decoded),
            source=f"transformers {version('transformers')} ({arithmetic}, eager, no cache)",
            exact=arithmetic == "fp32",
        )


def _load(folder: Path, memory_b: int, *, trusted: bool) -> tuple[Any, str]:
    """Return the network and the name of its arithmetic."""
    import torch

    from effmark_adapters.artefacts.hf_model import check_folder, load_causal_lm

    config = check_folder(folder, trust_remote_code=trusted)
    own = config.get_text_config().dtype or torch.float32
    held_b = bytes_on_disk(weight_files(folder))
    for dtype, name in ((torch.float32, "fp32"), (own, str(own).removeprefix("torch."))):
        if held_b * dtype.itemsize / own.itemsize <= memory_b:
            network = load_causal_lm(folder, dtype, attention="eager", trust_remote_code=trusted)
            return network, name
    raise OutOfMemoryError(
        f"the reference of model {folder.name!r} needs {held_b} bytes, {memory_b} may be used"
    )


def _known(ids: list[int], config: Any) -> list[int]:
    """Return those ids that the model has; any where it has none of them."""
    known = int(config.get_text_config().vocab_size)
    return [token for token in ids if token < known] or list(range(min(known, len(TEXT))))


def _tokens(folder: Path) -> tuple[list[int], list[int]]:
    """Return the ids of the text of all proofs, and those that this model's texts begin with."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise PrerequisiteError(f"model folder {str(folder)!r} has no tokenizer.json")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    plain = tokenizer.encode(TEXT, add_special_tokens=False).ids
    whole = tokenizer.encode(TEXT, add_special_tokens=True).ids
    return plain, _before(plain, whole)


def _before(part: list[int], whole: list[int]) -> list[int]:
    """Return what stands before a part in a whole; nothing where the part is not in it."""
    starts = range(len(whole) - len(part) + 1)
    at = next((i for i in starts if whole[i : i + len(part)] == part), 0)
    return whole[:at]


def _rows(network: Any, ids: Sequence[int]) -> torch.Tensor:
    """Return log-probabilities [len(ids), vocabulary] of what follows each token."""
    import torch

    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([list(ids)]), use_cache=False).logits
    rows: torch.Tensor = logits[0].float().log_softmax(-1)
    return rows


def _continue(network: Any, prompt: Sequence[int]) -> tuple[tuple[int, ...], torch.Tensor]:
    """Return the greedy continuation and the row of each of its tokens, each from all before it."""
    import torch

    ids, rows = list(prompt), []
    for _ in range(STEPS):
        rows.append(_rows(network, ids)[-1])
        ids.append(int(rows[-1].argmax()))
    return tuple(ids[len(prompt) :]), torch.stack(rows)
