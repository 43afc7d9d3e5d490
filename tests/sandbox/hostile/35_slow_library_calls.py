# expect: timeout
import re
import sys

sys.set_int_max_str_digits(0)
str(10**100_000)
re.match(r"(a+)+$", "a" * 40 + "b")
