# expect: ok; values: ["[]"]
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
x86_64 = {"io_uring_setup": 425, "bpf": 321, "userfaultfd": 323, "keyctl": 250, "add_key": 248}
x86_64 |= {"perf_event_open": 298, "init_module": 175, "kexec_load": 246, "pidfd_open": 434}
x86_64 |= {"personality": 135, "memfd_create": 319, "open_by_handle_at": 304, "mq_open": 240}
allowed = []
import platform

if platform.machine() == "x86_64":
    for name, number in x86_64.items():
        ctypes.set_errno(0)
        answer = libc.syscall(number, 0, 0, 0, 0, 0)
        if answer >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            allowed.append((name, answer, ctypes.get_errno()))
emit(allowed)
