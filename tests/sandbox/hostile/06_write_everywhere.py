# expect: ok; values: ["[]"]
import json
import os

written = []
places = ["/new", "/usr/new", "/etc/new", "/dev/new", "/dev/shm/new", "/proc/new", "/var/tmp/new"]
places += ["/proc/sys/kernel/hostname", "/proc/self/oom_score_adj", "/proc/1/oom_score_adj"]
places += [os.__file__, json.__file__, "/etc/ld.so.cache", "/usr/bin/env"]
for place in places:
    try:
        with open(place, "a") as file:
            file.write("x")
        written.append(place)
    except OSError:
        pass
emit(written)
