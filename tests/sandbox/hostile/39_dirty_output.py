# expect: ok; values: ["\u0000\u001b[2J"]; output: "\\x00\\xff\\x1b[31mred\\x07\n"
import os

os.write(1, b"\x00\xff\x1b[31mred\x07\n")
emit("\x00\x1b[2J")
