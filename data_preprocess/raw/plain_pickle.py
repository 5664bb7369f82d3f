"""A reader of pickles that hold plain data: lists, dictionaries, sets, text, bytes and numbers.

It is the pure-Python form of Python's own unpickler, with the opcodes that plain data needs and no
other. The form in C sets memory aside as a few bytes of the file tell it to: 34 GB for the memo
index four billion.
"""

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

Handler = Callable[[Any], None]

_PLAIN = (
    "PROTO FRAME STOP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 "
    "TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET MARK POP POP_MARK "
    "DUP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET "
    "GLOBAL STACK_GLOBAL INST"  # these three end in find_class, which refuses by name
).split()
# An empty list is one byte in the file and 60 in memory (a set: 220), and two bytes repeat a value
# of any length. Plain data is not full of either, so each has its price.
_PRICES = {"EMPTY_LIST": 1, "EMPTY_DICT": 1, "EMPTY_SET": 4, "FROZENSET": 4, "MARK": 1,
           "TUPLE1": 1, "TUPLE2": 1, "TUPLE3": 1}  # fmt: skip
_REPEATS = ("DUP", "GET", "BINGET", "LONG_BINGET")
_INTEGERS = ("INT", "LONG", "LONG1", "LONG4")
# Integers that are very long, tuples and sets can be made to share one hash, which makes a
# dictionary as slow as a list. So they are no keys; here is where an opcode has its keys.
_KEYS = {str, bytes, int, float, bool, type(None)}
_KEYS_AT = {"SETITEM": slice(-2, -1), "SETITEMS": slice(None, None, 2), "ADDITEMS": slice(None),
            "DICT": slice(None, None, 2), "FROZENSET": slice(None)}  # fmt: skip


class NotPlain(ValueError):
    """The pickle asks for something other than plain data; the message says what."""


class Malformed(ValueError):
    """The bytes are no pickle, or a damaged one."""


def loads(data: bytes) -> Any:
    """The plain data in a pickle of any protocol; Python 2's byte strings are read as latin-1.

    Raises NotPlain or Malformed.
    """
    reader = _Reader(data)
    try:
        value = reader.load()
    except NotPlain:
        raise
    except KeyError as error:
        raise Malformed(f"byte {error} is no opcode") from error
    except EOFError as error:
        raise Malformed("it ends in the middle") from error
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError, struct.error,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise Malformed(str(error)[:200]) from error
    if reader.stack or reader.metastack:
        raise Malformed("it holds more than one value")
    return value


def _refused(name: str) -> Handler:
    def handler(reader: "_Reader") -> None:
        raise NotPlain(f"the opcode {name}")

    return handler


def _priced(load: Handler, price: int) -> Handler:
    def handler(reader: "_Reader") -> None:
        reader.spend(price)
        load(reader)

    return handler


def _repeating(load: Handler) -> Handler:
    def handler(reader: "_Reader") -> None:
        load(reader)
        value = reader.stack[-1]
        if isinstance(value, str | bytes):
            if len(value) > 15:
                reader.spend(len(value) // 16)
        elif isinstance(value, list | dict | tuple | set | frozenset):
            reader.spend(1 + len(value))

    return handler


def _integer(load: Handler) -> Handler:
    def handler(reader: "_Reader") -> None:
        load(reader)
        if reader.stack[-1].bit_length() > 64:
            raise Malformed("an integer of more than 64 bits")

    return handler


def _keyed(load: Handler, at: slice) -> Handler:
    def handler(reader: "_Reader") -> None:
        for kind in set(map(type, reader.stack[at])) - _KEYS:
            raise Malformed(f"a key of type {kind.__name__}")
        load(reader)

    return handler


def _handlers() -> dict[int, Handler]:
    """The unpickler's own handlers, checked or refused."""
    handlers = {}
    for code, load in pickle._Unpickler.dispatch.items():
        name = pickletools.code2op[chr(code)].name
        if name not in _PLAIN:
            load = _refused(name)
        if name in _KEYS_AT:
            load = _keyed(load, _KEYS_AT[name])
        if name in _INTEGERS:
            load = _integer(load)
        if name in _REPEATS:
            load = _repeating(load)
        if name in _PRICES:
            load = _priced(load, _PRICES[name])
        handlers[code] = load
    return handlers


class _Reader(pickle._Unpickler):
    """The unpickler with these handlers, and with a budget for their prices."""

    dispatch = _handlers()

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="latin-1")
        self.budget = 1000 + len(data) // 2

    def spend(self, price: int) -> None:
        self.budget -= price
        if self.budget < 0:
            raise Malformed("it holds or repeats more values than its size explains")

    def find_class(self, module: str, name: str) -> Any:
        raise NotPlain(ascii(f"{module[:60]}.{name[:60]}")[1:-1])

    def load_put(self) -> None:
        index = self.readline()[:-1]
        if len(index) > 10:  # it can share its hash with many others
            raise Malformed(f"{index[:30]!r} is no memo index")
        self.memo[int(index)] = self.stack[-1]

    dispatch[pickle.PUT[0]] = load_put
