# expect: exception|no_output|forbidden|crash
import os

# `inputs` says which way: ["signal", n] or ["status", n]
way, number = inputs
if way == "signal":
    os.kill(os.getpid(), number)
os._exit(number)
