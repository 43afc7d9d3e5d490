# expect: ok; values: ["[]"]
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
done = []
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x02000000):
    if libc.unshare(flag) == 0:
        done.append(("unshare", flag))
if libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0:
    done.append("mount")
for place in (b"/tmp", b"/proc", b"/"):
    if libc.umount2(place, 2) == 0:
        done.append(("umount", place))
    if libc.chroot(place) == 0:
        done.append(("chroot", place))
if libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) > 0:  # clone on x86_64
    done.append("clone")
if libc.syscall(435, ctypes.create_string_buffer(64), 64) > 0:  # clone3 everywhere
    done.append("clone3")
emit(done)
