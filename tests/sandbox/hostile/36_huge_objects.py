# expect: ok; values: ["[]"]
import mmap
import os

made = []


def sparse():
    with open("sparse", "wb") as file:
        file.truncate(1 << 40)


def far():
    with open("far", "wb") as file:
        file.seek(1 << 40)
        file.write(b"x")


for action in (sparse, far, lambda: mmap.mmap(-1, 1 << 40), lambda: os.memfd_create("x")):
    try:
        action()
        made.append(str(action))
    except (OSError, MemoryError, ValueError):
        pass
emit(made)
