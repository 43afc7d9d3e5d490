# expect: ok; values: ["[]"]
import glob

seen = []
for path in glob.glob("/proc/[0-9]*/*") + [f"/proc/{pid}/mem" for pid in ("1", "self", "2")]:
    if path.rpartition("/")[2] in ("mem", "environ", "maps", "cmdline", "status", "stat"):
        try:
            with open(path, "rb") as file:
                seen.append((path, file.read(10)))
        except OSError:
            pass
emit(seen)
