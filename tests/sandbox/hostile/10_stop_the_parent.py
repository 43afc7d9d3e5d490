# expect: ok; values: ["[]"]
import os
import signal

hit = []
for pid in (os.getppid(), 1, 2, -1, 0):
    try:
        os.kill(pid, signal.SIGSTOP)
        hit.append(pid)
    except OSError:
        pass
emit(hit)
