"""The first program of a sandbox process, given to the interpreter on its command line.

It reads the modules that it needs from the control socket, so that the sandbox holds no file of
effmark: nothing to read, nothing to overwrite, nothing that a private home could hide.
"""

import json
import os
import struct
import sys
import types


def receive(fd: int) -> dict:  # type: ignore[type-arg] # runs before anything can be imported
    """Return the next frame from the control socket."""
    message = b""
    wanted_b = 4
    while len(message) < wanted_b:
        part = os.read(fd, wanted_b - len(message))
        if not part:
            os._exit(0)
        message += part
        if wanted_b == 4 == len(message):
            wanted_b += struct.unpack(">I", message)[0]
    decoded: dict = json.loads(message[4:])  # type: ignore[type-arg]
    return decoded


def install(name: str, source: str | None) -> None:
    """Make `name` importable: a module of the given source, or an empty package."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, module)
    if source is None:
        module.__path__ = []
    else:
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)


if __name__ == "__main__":
    control = int(sys.argv[1])
    for module_name, module_source in receive(control)["modules"]:
        install(module_name, module_source)
    del module_name, module_source
    request = receive(control)
    sys.modules[request.pop("main")].main(control, request)
