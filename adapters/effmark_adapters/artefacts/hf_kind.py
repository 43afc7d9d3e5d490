"""What a Hugging Face folder holds, by its config and transformers' registry, before any tensor.

A folder is a causal language model if the class that saved it is one. Anything else can be opened
as one, too: transformers draws what is missing at random, and an encoder reads the text from both
sides, so that both would get a score and neither would be the model that was given.
"""

from __future__ import annotations

from typing import Any

import transformers
from transformers.models.auto import modeling_auto as registry

from effmark.errors import UnsupportedError

__all__ = ["DEQUANTISED", "check_kind", "quantisation_method"]

DEQUANTISED = ("fp8", "mxfp4")
"""Quantisations that transformers itself expands to bf16, exactly, without a further package."""
_NOT_CAUSAL = {
    "cpmant": "reads a text from both sides",
    "prophetnet": "gives the same tokens other logits in a longer text",
    "xlnet": "reads a text from both sides",
}
"""Model types of transformers' list that are none, by what they do when they are tried."""
_CAUSAL = registry.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
_ENDINGS = ("ForCausalLM", "LMHeadModel")


def check_kind(name: str, config: dict[str, Any], *, trust_remote_code: bool) -> None:
    """Refuse a folder that is no causal language model which transformers loads.

    Args:
        name: What the user calls the model.
        config: Its config.json.
        trust_remote_code: Whether the user allows Python code of the folder.

    Raises:
        UnsupportedError: with the reason.
    """
    model_type = str(config.get("model_type", ""))
    if _own_class(config) and trust_remote_code:
        return
    _check_code(name, config, model_type)
    architecture = next(iter(config.get("architectures") or ()), None)
    if config.get("is_encoder_decoder"):
        raise UnsupportedError(
            f"model {name!r} is an encoder-decoder ({architecture or model_type}), not a causal "
            "language model"
        )
    if architecture is not None and not _may_be_causal(architecture, model_type):
        raise UnsupportedError(f"model {name!r} {_what_it_is(architecture, model_type)}")
    _check_direction(name, config, model_type)
    _check_quantisation(name, config)


def quantisation_method(config: dict[str, Any]) -> str | None:
    """Return by what the stored weights are quantised; None if they are not."""
    settings = config.get("quantization_config")
    text = config.get("text_config")
    if not settings and isinstance(text, dict):
        settings = text.get("quantization_config")
    if not isinstance(settings, dict) or not settings:
        return None
    if settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        return "bitsandbytes"
    return str(settings.get("quant_method", "an unnamed method"))


def _check_code(name: str, config: dict[str, Any], model_type: str) -> None:
    """Refuse what only code of the folder itself could load.

    Many folders bring the code of a class that transformers has by now, under the same name but
    for its case; that one is loaded. A class of another name is another model.
    """
    own = _own_class(config)
    if model_type in _CAUSAL and own.lower() in ("", *(n.lower() for n in _CAUSAL.values())):
        return
    if own:
        raise UnsupportedError(
            f"model {name!r} of type {model_type!r} needs Python code of its own folder "
            f"(auto_map names {own!r}), which runs only where the request trusts it: "
            "--trust-remote-code"
        )
    version = transformers.__version__
    if model_type not in registry.CONFIG_MAPPING_NAMES:
        raise UnsupportedError(
            f"model {name!r}: transformers {version} knows no model type {model_type!r}"
        )
    raise UnsupportedError(
        f"model {name!r}: transformers {version} has no causal language model of type "
        f"{model_type!r}"
    )


def _own_class(config: dict[str, Any]) -> str:
    """Return the class that a folder brings as its causal LM, empty if it brings none."""
    found = config.get("auto_map")
    named = found.get("AutoModelForCausalLM") if isinstance(found, dict) else None
    return str(named).rpartition(".")[2] if named else ""


def _may_be_causal(architecture: str, model_type: str) -> bool:
    """Return whether the class that saved a folder is a causal LM or holds one.

    Names that transformers does not know (an older spelling, another project's) pass by their
    ending: whether the tensors fit is seen when they are read.
    """
    if architecture in _CAUSAL.values():
        return True
    if architecture.endswith("ForConditionalGeneration"):
        return True  # text and images in one; encoder-decoders are refused before
    return architecture.endswith(_ENDINGS) and not hasattr(transformers, architecture)


def _what_it_is(architecture: str, model_type: str) -> str:
    wanted = _CAUSAL[model_type]
    if architecture in registry.MODEL_MAPPING_NAMES.values():
        return f"is a bare {architecture} without a language model head; {wanted} has one"
    return f"is a {architecture}, not a causal language model; {wanted} is one"


def _check_direction(name: str, config: dict[str, Any], model_type: str) -> None:
    """Refuse a model whose tokens see the tokens after them."""
    switch = "causal" if model_type == "xlm" else "is_decoder"
    reason = _NOT_CAUSAL.get(model_type)
    encoder = model_type in registry.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if reason is None and encoder and not _is_set(config, model_type, switch):
        reason = f"reads a text from both sides ({switch} is not set in its config)"
    if reason is not None:
        raise UnsupportedError(
            f"model {name!r} of type {model_type!r} {reason}; it is no causal language model"
        )


def _is_set(config: dict[str, Any], model_type: str, switch: str) -> bool:
    """Return a switch of a config; transformers saves only what differs from the default."""
    default = getattr(transformers.CONFIG_MAPPING[model_type](), switch, False)
    return bool(config.get(switch, default))


def _check_quantisation(name: str, config: dict[str, Any]) -> None:
    method = quantisation_method(config)
    if method is None or method in DEQUANTISED:
        return
    raise UnsupportedError(
        f"model {name!r} holds weights quantised by {method}, which this adapter does not read; "
        "give the folder of the model before quantisation"
    )
