# expect: ok; output: "0 1 2 3 4 5 6 7 8 9 replaced"
import io
import os
import sys

for number in range(10):
    os.write(1 + number % 2, f"{number} ".encode())
sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False))
print("replaced", end="")
