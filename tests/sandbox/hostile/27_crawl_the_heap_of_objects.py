# expect: ok; values: ["[]"]
import gc
import re

pattern = re.compile(r"PLANTED-[S]ECRET-\d+")
found = []
for thing in gc.get_objects():
    for part in [*gc.get_referents(thing), thing]:
        if isinstance(part, (str, bytes, bytearray)):
            text = part if isinstance(part, str) else bytes(part).decode("latin-1")
            found += pattern.findall(text)
emit(found)
