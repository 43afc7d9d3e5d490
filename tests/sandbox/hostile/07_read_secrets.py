# expect: ok; values: ["[]"]
import os

found = []
for place in ("/etc/shadow", "/etc/passwd", "/etc/hostname", "/root", "/home", "/var", "/run", "/sys"):
    try:
        found.append((place, os.listdir(place) if os.path.isdir(place) else open(place).read()))
    except OSError:
        pass
known = {"HOME", "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "PWD"}
known |= {"PYTHONHASHSEED", "TMPDIR", "PYTHONHOME", "LD_LIBRARY_PATH"}
found += sorted(set(os.environ) - known)
emit(found)
