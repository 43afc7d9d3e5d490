# expect: ok; values: ["[]"]
import ctypes
import os

kept = []
opened = []
try:
    while True:
        opened.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    if len(opened) > 64:
        kept.append(("descriptors", len(opened)))
for fd in opened:
    os.close(fd)
libc = ctypes.CDLL(None, use_errno=True)
for number in range(100):
    if libc.shmget(1000 + number, 4096, 0o1666) >= 0:
        kept.append("shared memory")
    if libc.semget(1000 + number, 1, 0o1666) >= 0:
        kept.append("semaphore")
    if libc.msgget(1000 + number, 0o1666) >= 0:
        kept.append("message queue")
try:
    import _multiprocessing

    _multiprocessing.SemLock(0, 1, 1, "/planted", False)
    kept.append("POSIX semaphore")
except OSError:
    pass
emit(kept)
