# expect: ok; values: ["[]"]
import glob
import os

os.uname()
places = glob.glob("/proc/sys/*/*") + glob.glob("/sys/*") + ["/proc/sys/kernel/core_pattern"]
places += ["/proc/sysrq-trigger", "/dev/mem", "/dev/kmsg", "/sys/fs/cgroup", "/sys/kernel"]
emit([place for place in places if os.access(place, os.W_OK)])
