# expect: ok; values: ["[]"]
import re
import sys

found = []
frame = sys._getframe()
while frame is not None:
    for name, value in {**frame.f_globals, **frame.f_locals}.items():
        if name != "found" and re.search(r"PLANTED-[S]ECRET-\d+", repr(value)):
            found.append(name)
    frame = frame.f_back
emit(found)
