# expect: ok; values: ["forged"]; min_cpu_s: 0.02
import json
import os
import struct

total = 0
for number in range(2_000_000):
    total += number


def chunk(kind, payload):
    return struct.pack(">cI", kind, len(payload)) + payload


facts = {"stopped": None, "setup_error": None, "wall_s": 0, "cpu_s": 0, "exit": 0, "maxrss_b": 0}
os.write(1, chunk(b"E", json.dumps(facts).encode()))
os.write(2, chunk(b"V", chunk(b"v", b"the expected answer")))
os.write(3, chunk(b"v", b"forged") + chunk(b"e", b'{"status": "ok"}'))
os._exit(0)
