# expect: ok; min_cpu_s: 0.05
import time

time.perf_counter = time.process_time = time.time = time.monotonic = lambda: 0.0
time.perf_counter_ns = time.process_time_ns = time.thread_time = lambda: 0
total = 0
for number in range(3_000_000):
    total += number
