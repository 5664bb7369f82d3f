"""A reader of pickles that hold plain data: lists, dictionaries, sets, text, bytes and numbers.

It knows the opcodes that plain data needs and no other, so there is nothing in it that could look
up a class, call a function or fetch outside data. Python's own unpickler, even with find_class
forbidden, sets memory aside as a few bytes of the file tell it to (a memo index of four billion).
"""

import struct
from collections.abc import Callable
from typing import Any

from .pickle_values import (
    CONSTANTS,
    FIXED,
    LINES,
    SIZED,
    Malformed,
    NotPlain,
    fill_dict,
    fill_set,
    make_dict,
    make_frozenset,
    memo_index,
    printable,
)

Handler = Callable[[int], int]

_FORBIDDEN = {
    b"R": "a function to be called", b"b": "a state to be set", b"o": "an object",
    b"\x81": "an object", b"\x92": "an object", b"P": "outside data", b"Q": "outside data",
    b"\x82": "a registered class", b"\x83": "a registered class", b"\x84": "a registered class",
    b"\x96": "a byte array", b"\x97": "outside data", b"\x98": "outside data",
}  # fmt: skip


def loads(data: bytes) -> Any:
    """The plain data in a pickle of any protocol; Python 2's byte strings are read as latin-1."""
    try:
        return _Reader(data).read()
    except (IndexError, KeyError) as error:  # an empty stack or an unset memo
        raise Malformed("it takes a value that was never put there") from error
    except (UnicodeError, struct.error) as error:
        raise Malformed(str(error)) from error


class _Reader:
    """The pickle machine. A handler takes the position after its opcode and returns the next."""

    def __init__(self, data: bytes):
        self.data = data
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        # An empty list is one byte in the file and 60 in memory (a set: 220), and two bytes repeat
        # a value of any length. Plain data is not full of either, so each has its price.
        self.budget = 1000 + len(data) // 2

    def read(self) -> Any:
        data, position, end = self.data, 0, len(self.data)
        handlers = self._handlers()
        while position < end:
            code = data[position]
            if code == 0x2E:  # STOP
                if len(self.stack) != 1 or self.marks:
                    raise Malformed(f"{len(self.stack)} values where one was expected")
                return self.stack[0]
            position = handlers[code](position + 1)
        raise Malformed("it ends in the middle")

    def _handlers(self) -> list[Handler]:
        table: list[Handler] = [self._unknown] * 256
        named = self._values() | self._containers() | self._memo() | {
            b"\x80": self._proto, b"\x95": self._frame, b"c": self._global, b"i": self._global,
            b"\x93": self._stack_global, b"(": self._mark, b"0": self._pop, b"1": self._pop_mark,
            b"2": lambda at: self._again(self.stack[-1], at),
        } | {code: self._forbidden for code in _FORBIDDEN}  # fmt: skip
        for code, handler in named.items():
            table[code[0]] = handler
        return table

    def _values(self) -> dict[bytes, Handler]:
        """Opcodes that push a value: constants, of a fixed size, of a given size, in a line."""
        return (
            {code: self._constant(value) for code, value in CONSTANTS.items()}
            | {code: self._fixed(*how) for code, how in FIXED.items()}
            | {code: self._sized(*how) for code, how in SIZED.items()}
            | {code: self._in_line(make) for code, make in LINES.items()}
        )

    def _constant(self, value: Any) -> Handler:
        return lambda at: self._push(value, at)

    def _fixed(self, width: int, make: Callable[[bytes], Any]) -> Handler:
        data, push, end = self.data, self.stack.append, len(self.data)

        def handler(at: int) -> int:
            stop = at + width
            if stop > end:
                raise Malformed("it ends in the middle")
            push(make(data[at:stop]))
            return stop

        return handler

    def _sized(self, width: int, make: Callable[[bytes], Any]) -> Handler:
        data, push, end, number = self.data, self.stack.append, len(self.data), int.from_bytes

        def handler(at: int) -> int:
            start = at + width
            stop = start + number(data[at:start], "little")
            if stop > end:
                raise Malformed(f"a value of {stop - start} bytes in a file of {end}")
            push(make(data[start:stop]))
            return stop

        return handler

    def _in_line(self, make: Callable[[bytes], Any]) -> Handler:
        def handler(at: int) -> int:
            line, stop = self._line(at)
            return self._push(make(line), stop)

        return handler

    def _containers(self) -> dict[bytes, Handler]:
        """Opcodes that make containers and fill them."""
        take, few = self._take_marked, self._take
        return {
            b"]": self._new(list, 1), b"}": self._new(dict, 1), b"\x8f": self._new(set, 4),
            b"l": self._made(take, list), b"t": self._made(take, tuple),
            b"d": self._made(take, make_dict), b"\x91": self._made(take, make_frozenset, 4),
            b"\x85": self._made(lambda: few(1), tuple), b"\x86": self._made(lambda: few(2), tuple),
            b"\x87": self._made(lambda: few(3), tuple),
            b"a": self._filled(lambda: few(1), list, list.extend),
            b"e": self._filled(take, list, list.extend),
            b"s": self._filled(lambda: few(2), dict, fill_dict),
            b"u": self._filled(take, dict, fill_dict),
            b"\x90": self._filled(take, set, fill_set),
        }  # fmt: skip

    def _new(self, kind: type, cost: int) -> Handler:
        return self._made(lambda: (), kind, cost)

    def _made(self, take: Callable[[], Any], make: Callable[[Any], Any], cost: int = 1) -> Handler:
        push = self.stack.append

        def handler(at: int) -> int:
            self._spend(cost)
            push(make(take()))
            return at

        return handler

    def _filled(self, take: Callable[[], list], kind: type, fill: Callable) -> Handler:
        stack = self.stack

        def handler(at: int) -> int:
            items = take()
            target = stack[-1]
            if type(target) is not kind:
                raise Malformed(f"items put into a {type(target).__name__}, not a {kind.__name__}")
            fill(target, items)
            return at

        return handler

    def _take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _take_marked(self) -> list[Any]:
        start = self.marks.pop()
        if start > len(self.stack):
            raise IndexError
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _memo(self) -> dict[bytes, Handler]:
        """Opcodes that keep the top value under a number, and that push a kept one again."""
        data, stack, memo = self.data, self.stack, self.memo
        number, again = int.from_bytes, self._again

        def put(at: int) -> int:
            memo[data[at]] = stack[-1]
            return at + 1

        def long_put(at: int) -> int:
            memo[number(data[at : at + 4], "little")] = stack[-1]
            return at + 4

        def get(at: int) -> int:
            return again(memo[data[at]], at + 1)

        def long_get(at: int) -> int:
            return again(memo[number(data[at : at + 4], "little")], at + 4)

        def memoize(at: int) -> int:
            memo[len(memo)] = stack[-1]
            return at

        def line_put(at: int) -> int:
            line, stop = self._line(at)
            memo[memo_index(line)] = stack[-1]
            return stop

        def line_get(at: int) -> int:
            line, stop = self._line(at)
            return again(memo[memo_index(line)], stop)

        return {b"q": put, b"r": long_put, b"h": get, b"j": long_get, b"\x94": memoize,
                b"p": line_put, b"g": line_get}  # fmt: skip

    def _push(self, value: Any, at: int) -> int:
        self.stack.append(value)
        return at

    def _again(self, value: Any, at: int) -> int:
        """Push a value that is there already."""
        if isinstance(value, str | bytes):
            if len(value) > 15:
                self._spend(len(value) // 16)
        elif isinstance(value, list | dict | tuple | set | frozenset):
            self._spend(1 + len(value))
        self.stack.append(value)
        return at

    def _spend(self, cost: int) -> None:
        self.budget -= cost
        if self.budget < 0:
            raise Malformed("it holds or repeats more values than its size explains")

    def _line(self, at: int) -> tuple[bytes, int]:
        stop = self.data.find(b"\n", at)
        if stop < 0:
            raise Malformed("it ends in the middle")
        return self.data[at:stop], stop + 1

    def _proto(self, at: int) -> int:
        if self.data[at] > 5:
            raise Malformed(f"protocol {self.data[at]} is unknown")
        return at + 1

    def _frame(self, at: int) -> int:
        return at + 8  # a hint for readers of streams

    def _mark(self, at: int) -> int:
        self.marks.append(len(self.stack))
        return at

    def _pop(self, at: int) -> int:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()
        return at

    def _pop_mark(self, at: int) -> int:
        self._take_marked()
        return at

    def _global(self, at: int) -> int:
        module, at = self._line(at)
        name, _ = self._line(at)
        raise NotPlain(f"{printable(module)}.{printable(name)}")

    def _stack_global(self, at: int) -> int:
        module, name = self._take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Malformed("a class whose name is no text")
        raise NotPlain(f"{printable(module.encode())}.{printable(name.encode())}")

    def _forbidden(self, at: int) -> int:
        raise NotPlain(_FORBIDDEN[self.data[at - 1 : at]])

    def _unknown(self, at: int) -> int:
        raise Malformed(f"byte {self.data[at - 1]:#04x} at {at - 1} is no opcode")
