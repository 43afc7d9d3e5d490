# expect: ok; values: ["[]"]
import fcntl
import os
import signal

reader, writer = os.pipe()
done = []
attempts = (("F_SETOWN", fcntl.F_SETOWN, os.getppid() or 1), ("F_SETSIG", 10, signal.SIGKILL))
for name, command, value in attempts:
    try:
        fcntl.fcntl(reader, command, value)
        done.append(name)
    except OSError:
        pass
emit(done)
