"""What is installed: adapters, suites with their models, probes and executors, by entry point.

Built-ins enter by the same door as anybody else's. Listing imports nothing, not even this
harness's own models of data; a name loads only its own module, so a broken plugin breaks only
itself.
"""

from __future__ import annotations

import difflib
import functools
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effmark.errors import PrerequisiteError, SpecError

if TYPE_CHECKING:
    from effmark.adapter import Adapter

__all__ = [
    "adapter_class",
    "adapter_version",
    "installed",
    "list_models",
    "list_suites",
    "nearest",
    "suite_folders",
]

_EXTRAS = {
    "torch": "torch",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "llama-cpp": "llama-cpp",
    "llama-cpp-native": "llama-cpp-native",
}
"""Which extra of effmark brings the packages of a built-in adapter."""


_MOST_NAMES = 40
"""A list that is longer helps nobody."""


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of `effmark.GROUP` by name, sorted; nothing is imported."""
    found = _entry_points().select(group=f"effmark.{group}")
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


@functools.cache
def _entry_points() -> Any:  # two types, by version of Python, with the same `select`
    """Return the entry points of all distributions; reading them costs tens of milliseconds."""
    return entry_points()


def nearest(name: str, known: list[str]) -> str:
    """Return a hint for an unknown name: the nearest known one, then all unless they are many."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    names = f"{len(known)} are known" if len(known) > _MOST_NAMES else ", ".join(known) or "none"
    return f"{hint}installed: {names}"


def adapter_class(name: str) -> type[Adapter]:
    """Return the class of an installed adapter.

    Raises:
        SpecError: no such adapter, or the class does not keep the contract.
        PrerequisiteError: importing it failed because a package is missing.
    """
    points = installed("adapters")
    if name not in points:
        raise SpecError(f"no adapter named {name!r}; {nearest(name, list(points))}")
    try:
        loaded: Any = points[name].load()
    except ImportError as error:
        raise PrerequisiteError(f"adapter {name!r} needs {error.name!r}; {remedy(name)}") from error
    missing = [
        m for m in ("prepare", "load", "facts", "synchronize", "close") if not hasattr(loaded, m)
    ]
    if missing:
        raise SpecError(f"adapter {name!r} lacks {', '.join(missing)}; see effmark.adapter")
    checked: type[Adapter] = loaded
    return checked


def remedy(name: str) -> str:
    """Return the command that installs what a built-in adapter needs."""
    extra = _EXTRAS.get(name)
    return f"install it with: pip install 'effmark[{extra}]'" if extra else "install that package"


@functools.cache
def adapter_version(name: str) -> str:
    """Return name and version of the package that brings an adapter, then those of its runtime.

    Part of a cell's identity: after an upgrade of either, a run measures again.
    """
    point = installed("adapters").get(name)
    if point is None:
        raise SpecError(f"no adapter named {name!r}; {nearest(name, list(installed('adapters')))}")
    parts = [f"{point.dist.name} {point.dist.version}" if point.dist else point.value]
    try:
        wanted = getattr(adapter_class(name), "distributions", ())
    except PrerequisiteError:
        wanted = ()  # its cells will say what is missing
    for distribution in wanted:
        try:
            parts.append(f"{distribution} {version(distribution)}")
        except PackageNotFoundError:
            continue  # the same
    return ", ".join(parts)


def suite_folders() -> list[Path]:
    """Return the folders of all installed suite packages; a suite package is data."""
    return [Path(str(files(point.value))) for point in installed("suites").values()]


def list_suites() -> dict[str, Path]:
    """Return the installed suites by name."""
    found = {
        path.stem: path for folder in suite_folders() for path in sorted(folder.glob("*.yaml"))
    }
    found.pop("models", None)
    return found


def list_models() -> dict[str, dict[str, Any]]:
    """Return the models that installed suite packages bring, by name, as their tables say."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for folder in suite_folders():
        table = folder / "models.yaml"
        if table.is_file():
            for name, entry in yaml.safe_load(table.read_text(encoding="utf-8")).items():
                found[name] = {**entry, "base": folder}
    return found
