"""The programs of ours that run inside a job, around foreign code; text, because they go there.

A driver sees ``solution`` (an empty module), ``inputs`` and ``emit``. It binds what it needs before
foreign code runs: a patched timer or ``repr`` changes nothing. Values on the way out are text, one
record each; what they claim is bounded by the kernel's bill and judged outside.

The clock is that of the thread: the process's is read from a cache that ticks every few ms where a
limit on CPU time is set (Linux 6.18). Work in other threads shows in the bill.
"""

from __future__ import annotations

__all__ = ["JUDGE", "PREPARE", "RECORD", "REPLAY", "RUN"]

_TOOLS = '''
import ast, json, random, sys, time
from json import dumps as _dumps, loads as _loads

_SHOWERS = {
    "json": lambda value, dumps=_dumps: dumps(value, allow_nan=False),
    "repr": lambda value, show=repr: show(value),
}

def _pack(args, dumps=_dumps, loads=_loads):
    """Return the text of arguments and whether it is JSON that loses nothing."""
    try:
        text = dumps(list(args), allow_nan=False)
        if repr(loads(text)) == repr(list(args)):
            return text, True
    except (TypeError, ValueError):
        pass
    return repr(list(args)), False

class _Constants(ast.NodeTransformer):
    def visit_Name(self, node):
        if node.id in ("inf", "nan"):
            return ast.copy_location(ast.Constant(float(node.id)), node)
        return node

def _literal(text):
    return ast.literal_eval(_Constants().visit(ast.parse(text, mode="eval")))

def _unpack(text, plain, loads=_loads):
    return loads(text) if plain else _literal(text)

def _decode(text, shown, loads=_loads):
    return loads(text) if shown == "json" else _literal(text)

_digits = getattr(sys, "set_int_max_str_digits", lambda digits: None)
'''

RUN = (
    _TOOLS
    + """
def _run(clock=time.thread_time, digits=_digits, send=emit, unpack=_unpack):
    data = inputs
    show = _SHOWERS[data["shown"]]
    names = solution.__dict__
    exec(compile(data["source"], "<solution>", "exec", dont_inherit=True), names)
    call = names[data["entry_point"]]
    for text, plain in data["cases"]:
        args = unpack(text, plain)
        before = clock()
        output = call(*args)
        spent = clock() - before
        digits(0)
        try:
            shown = "=" + show(output)
        except (TypeError, ValueError, RecursionError):
            shown = "!" + type(output).__name__
        digits(4300)
        send(f"{spent!r} {shown}")
        if spent > data["stop_s"]:
            break

_run()
"""
)
"""Run a solution on cases: one record a case, the CPU seconds of the call and the output."""

PREPARE = (
    _TOOLS
    + """
def _prepare(clock=time.thread_time):
    data = inputs
    show = _SHOWERS[data["shown"]]
    _digits(0)
    makers, names = {"__name__": "generator"}, {"__name__": "reference"}
    exec(compile(data["generator"], "<generator>", "exec", dont_inherit=True), makers)
    exec(compile(data["reference"], "<reference>", "exec", dont_inherit=True), names)
    for args in makers["effmark_cases"](data["level"]):
        text, plain = _pack(args)
        args = _unpack(text, plain)
        before = clock()
        output = names[data["entry_point"]](*args)
        spent = clock() - before
        emit(_dumps([text, plain, show(output), spent]))

_prepare()
"""
)
"""Make the cases of a level and have the reference answer them."""

RECORD = (
    _TOOLS
    + """
def _record():
    data = inputs
    names = {"__name__": "reference"}
    exec(compile(data["reference"], "<reference>", "exec", dont_inherit=True), names)
    reference, calls = names[data["entry_point"]], []

    def candidate(*args):
        text, plain = _pack(args)
        calls.append((text, plain))
        output = reference(*_unpack(text, plain))
        emit(_dumps([text, plain, repr(output), 0.0]))
        return output

    exec(compile(data["test"], "<test>", "exec", dont_inherit=True), names)
    names[data["entry_point"]] = candidate
    names["check"](candidate)

_record()
"""
)
"""Run a test with the reference in the place of the candidate, and say how it was called."""

REPLAY = (
    _TOOLS
    + """
def _replay():
    data = inputs
    names = {"__name__": "reference"}
    exec(compile(data["reference"], "<reference>", "exec", dont_inherit=True), names)
    answers = iter(data["triples"])

    def candidate(*args):
        text, plain, _, output = next(answers)
        if _pack(args)[0] != text:
            raise LookupError("the test called with other arguments than it did when recorded")
        return _literal(output)

    exec(compile(data["test"], "<test>", "exec", dont_inherit=True), names)
    names[data["entry_point"]] = candidate
    try:
        names["check"](candidate)
    except LookupError:
        raise
    except Exception:
        emit("0")
    else:
        emit("1")

_replay()
"""
)
"""Run a test with recorded outputs in the place of the candidate."""

JUDGE = (
    _TOOLS
    + """
def _judge():
    data = inputs
    _digits(0)
    names = {"__name__": "checker"}
    exec(compile(data["checker"], "<checker>", "exec", dont_inherit=True), names)
    for text, plain, expected, output in data["triples"]:
        try:
            right = names["effmark_check"](
                _unpack(text, plain),
                _decode(expected, data["shown"]),
                _decode(output, data["shown"]),
            )
        except Exception:
            right = False
        emit("1" if right is True else "0")

_judge()
"""
)
"""Say of outputs, read as data, whether they are right; no foreign solution runs here."""
