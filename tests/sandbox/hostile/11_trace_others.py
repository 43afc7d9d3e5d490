# expect: ok; values: ["[]"]
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
done = []
buffer = ctypes.create_string_buffer(64)
for pid in (os.getppid(), 1, 2):
    if libc.ptrace(16, pid, 0, 0) == 0:  # PTRACE_ATTACH
        done.append(("attach", pid))
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 64)
    if libc.process_vm_readv(pid, vector, 1, vector, 1, 0) >= 0:
        done.append(("read", pid))
    if libc.process_vm_writev(pid, vector, 1, vector, 1, 0) >= 0:
        done.append(("write", pid))
if libc.ptrace(0, 0, 0, 0) == 0:  # PTRACE_TRACEME
    done.append("traceme")
emit(done)
