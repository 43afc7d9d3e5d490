# expect: no_output; values: ["a lie"]
import builtins
import json
import sys


class Liar:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __str__(self):
        return "a lie"


emit(Liar())
builtins.print = builtins.len = builtins.isinstance = lambda *_, **__: True
json.dumps = json.loads = lambda *_, **__: 1 / 0
sys.exit = lambda *_: None
