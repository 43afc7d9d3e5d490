# expect: ok; values: ["[0, 1, 2, 3]"]
import os

open_ones = []
for fd in range(1024):
    try:
        os.fstat(fd)
        open_ones.append(fd)
    except OSError:
        pass
emit(open_ones)  # 3 is the value channel
