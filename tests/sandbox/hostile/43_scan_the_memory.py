# expect: ok; values: ["0"]
import ctypes
import os
import re

# Probes addresses with write(2), which fails with EFAULT where nothing is mapped.
libc = ctypes.CDLL(None)
pattern = re.compile(rb"PLANTED-[S]ECRET-\d+")
reader, writer = os.pipe()
page_b = 4096
found = 0
seen = set()
heap = libc.sbrk
heap.restype = ctypes.c_void_p
end_of_heap = heap(0) // page_b
around = id(object()) // page_b
ranges = [range(end_of_heap - 8192, end_of_heap), range(around - 4096, around + 4096)]
libc.write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
tail = b""
for pages in ranges:
    for page in pages:
        if libc.write(writer, page * page_b, page_b) != page_b:
            tail = b""
            continue
        content = os.read(reader, page_b)
        found += len(pattern.findall(tail + content))
        tail = content[-32:]
emit(found)
