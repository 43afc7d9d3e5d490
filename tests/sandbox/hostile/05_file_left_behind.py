# expect: ok
import os
import tempfile

for folder in (".", tempfile.gettempdir(), os.path.expanduser("~")):
    try:
        with open(f"{folder}/left-behind", "w") as file:
            file.write("for the next job")
    except OSError:
        pass
