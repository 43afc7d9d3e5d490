# expect: ok; values: ["[]"]
import os
import signal

hit = []
for pid in (os.getppid(), 1, 2, 3, -1, 0, os.getpid()):
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
            hit.append(pid)
        except OSError:
            pass
emit(hit)
