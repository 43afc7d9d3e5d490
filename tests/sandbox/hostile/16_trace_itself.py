# expect: ok; min_cpu_s: 0.05
import sys

sys.settrace(lambda *_: None)
sys.setprofile(lambda *_: None)
total = 0
for number in range(3_000_000):
    total += number
