# expect: ok; values: ["[]"]; min_cpu_s: 0.05
import contextlib
import os
import resource

raised = []
for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
    try:
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        raised.append(kind)
    except (ValueError, OSError):
        pass
with contextlib.suppress(OSError):
    os.nice(-5)
    raised.append("nice")
with contextlib.suppress(OSError):
    os.sched_setaffinity(0, range(os.cpu_count()))
    raised.append("affinity")
with contextlib.suppress(OSError):
    os.setpriority(os.PRIO_USER, 0, 19)
    raised.append("other processes of the user")
with contextlib.suppress(OSError):
    open("/proc/self/oom_score_adj", "w").write("-1000")
    raised.append("oom score")
os.nice(5)
total = 0
for number in range(3_000_000):
    total += number
emit(raised)
