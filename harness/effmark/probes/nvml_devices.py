"""Which physical GPU a CUDA device number means: identity is the UUID, never the index.

CUDA numbers devices fastest first (or by PCI bus), after `CUDA_VISIBLE_DEVICES` has left some out;
NVML numbers all of them by PCI bus. Where the framework told the UUIDs those count. Otherwise the
mapping is safe only when the variable names UUIDs, when `CUDA_DEVICE_ORDER=PCI_BUS_ID` is set, or
when all GPUs are of one model (equally fast ones stay in bus order). A slice (MIG) stands for the
board that it is a part of: whether others have slices there is asked later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from effmark.probes.contract import Target, absent
from effmark.record import Missing

__all__ = ["choose"]


def choose(nvml: Any, target: Target, variables: Mapping[str, str]) -> list[Any] | Missing:
    """Return the NVML handles of a target's devices, or why they cannot be told."""
    count = nvml.nvmlDeviceGetCount()
    every = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
    uuids = [str(nvml.nvmlDeviceGetUUID(handle)) for handle in every]
    if target.uuids:
        wanted: list[str] | Missing = list(target.uuids)
    else:
        names = {str(nvml.nvmlDeviceGetName(handle)) for handle in every}
        wanted = _by_number(uuids, target.indices, variables, one_model=len(names) == 1)
    if isinstance(wanted, Missing):
        return wanted
    wanted = [_board(nvml, name) for name in wanted]
    found = []
    for name in wanted:
        matches = [i for i, uuid in enumerate(uuids) if uuid.startswith(name)]
        if len(matches) != 1:
            return absent("not_present", f"no GPU {name!r}; there is {', '.join(uuids) or 'none'}")
        found.append(every[matches[0]])
    return found


def _board(nvml: Any, name: str) -> str:
    """Return the UUID of the board that a slice is a part of; other names as they are."""
    if not name.startswith("MIG-"):
        return name
    slice_ = nvml.nvmlDeviceGetHandleByUUID(name)
    return str(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slice_)))


def _by_number(
    uuids: list[str], indices: tuple[int, ...], variables: Mapping[str, str], *, one_model: bool
) -> list[str] | Missing:
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    entries = uuids if visible is None else [v.strip() for v in visible.split(",") if v.strip()]
    numbers = all(entry.isdigit() for entry in entries)
    ordered = variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or one_model
    if (visible is None or numbers) and not ordered:
        detail = "GPUs of several models: CUDA's numbers are not NVML's; set "
        return absent("undefined", detail + "CUDA_DEVICE_ORDER=PCI_BUS_ID or name UUIDs")
    if numbers and visible is not None:
        entries = [uuids[int(e)] for e in entries if int(e) < len(uuids)]
    beyond = [i for i in indices if i >= len(entries)]
    if beyond:
        return absent("not_present", f"device {beyond[0]} is not among {len(entries)} visible GPUs")
    return [entries[i] for i in indices]
