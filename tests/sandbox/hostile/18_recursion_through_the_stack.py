# expect: memory|crash:SIGSEGV|timeout
import sys

sys.setrecursionlimit(1_000_000_000)


class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x")


def deeper():
    return repr([deeper()])


deeper()
