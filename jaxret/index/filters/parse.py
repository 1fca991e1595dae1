"""A filter's text to conditions, by recursive descent.

filter      any   = every {OR every}
            every = one {AND one}
            one   = NOT one | "(" any ")" | column [test]
test        ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
            IS [NOT] NULL
            [NOT] (IN "(" value {"," value} ")" | LIKE 'pattern' | ILIKE 'pattern' | BETWEEN value AND value)
value       'text', with '' for an apostrophe; a number; TRUE; FALSE
column      a word, or any name in double quotes; alone it is true where it holds true
"""

from __future__ import annotations

import functools
import math
import re
from typing import NamedTuple, NoReturn

from jaxret.data.items import ColumnValue
from jaxret.index.filters.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    IsNull,
    Like,
    Not,
    OneOf,
    Operator,
    Truth,
)

__all__ = ["FilterError", "parse_filter"]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<>|<=|>=|[=<>(),])
      | (?P<end>$)
    )""",
    re.VERBOSE,
)
_OPERATORS: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="
}  # fmt: skip
_KEYWORDS = frozenset(["and", "between", "false", "ilike", "in", "is", "like", "not", "null", "or", "true"])
_MOST_NESTED = 100


class FilterError(ValueError):
    """A filter that says nothing that can be found out.

    Args:
      text: of the filter.
      at: the place in it, from 0.
      problem: what is wrong there.
    """

    def __init__(self, text: str, at: int, problem: str):
        super().__init__(f"filter {text!r}, character {at + 1}: {problem}")
        self._given = text, at, problem

    def __reduce__(self) -> tuple[type[FilterError], tuple[str, int, str]]:
        # It crosses process borders where an index is searched in parts; the default would give one argument.
        return (type(self), self._given)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def keyword(self) -> str | None:
        """The keyword in lower case; None for all else."""
        lower = self.text.lower()
        return lower if self.kind == "word" and lower in _KEYWORDS else None


@functools.lru_cache(maxsize=64)
def parse_filter(text: str) -> Condition:
    """The conditions that a filter sets.

    Raises:
      TypeError: it is no string.
      FilterError: it is malformed; the message names the character, from 1.

    Example:
      >>> parse_filter("duration > 10")
      Comparison(column='duration', at=0, operator='>', value=10)
    """
    if not isinstance(text, str):
        raise TypeError(f"a filter must be a string, got {text!r}")
    return _Parser(text).filter()


class _Parser:
    def __init__(self, text: str):
        self._text = text
        self._tokens = self._tokenise()
        self._next = 0
        self._depth = 0

    def filter(self) -> Condition:
        condition = self._any()
        if self._peek.kind != "end":
            self._fail("AND, OR or the end")
        return condition

    def _tokenise(self) -> list[_Token]:
        tokens, at = [], 0
        while True:
            found = _TOKEN.match(self._text, at)
            if found is None:
                at += len(self._text[at:]) - len(self._text[at:].lstrip())
                sign = self._text[at]
                raise FilterError(
                    self._text, at, "the quote is not closed" if sign in "'\"" else f"unexpected {sign!r}"
                )
            kind = str(found.lastgroup)
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            if kind == "end":
                return tokens
            at = found.end()

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        self._next += token.kind != "end"
        return token

    def _accept(self, *words: str) -> _Token | None:
        """The next token if it is one of these keywords or signs."""
        token = self._peek
        if token.keyword in words or (token.kind == "sign" and token.text in words):
            return self._take()
        return None

    def _expect(self, *words: str) -> _Token:
        return self._accept(*words) or self._fail(" or ".join(word.upper() for word in words))

    def _fail(self, expected: str) -> NoReturn:
        token = self._peek
        found = "the end" if token.kind == "end" else token.text
        raise FilterError(self._text, token.at, f"expected {expected}, got {found}")

    def _any(self) -> Condition:
        conditions = [self._every()]
        while self._accept("or"):
            conditions.append(self._every())
        return conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions))

    def _every(self) -> Condition:
        conditions = [self._one()]
        while self._accept("and"):
            conditions.append(self._one())
        return conditions[0] if len(conditions) == 1 else All(tuple(conditions))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise FilterError(self._text, self._peek.at, f"more than {_MOST_NESTED} conditions within each other")
        condition: Condition
        if self._accept("not"):
            condition = Not(self._one())
        elif self._accept("("):
            condition = self._any()
            self._expect(")")
        else:
            condition = self._test()
        self._depth -= 1
        return condition

    def _test(self) -> Condition:
        token = self._peek
        if token.kind == "quoted":
            column = token.text[1:-1].replace('""', '"')
        elif token.kind == "word" and token.keyword is None:
            column = token.text
        else:
            self._fail("a column, NOT or (")
        self._take()
        if operator := self._accept(*_OPERATORS):
            return Comparison(column, token.at, _OPERATORS[operator.text], self._value())
        if self._accept("is"):
            negated = self._accept("not")
            self._expect("null")
            return _perhaps_not(IsNull(column, token.at), negated)
        negated = self._accept("not")
        if word := self._accept("like", "ilike"):
            if self._peek.kind != "text":
                self._fail("a pattern in '...'")
            return _perhaps_not(Like(column, token.at, str(self._value()), word.keyword == "ilike"), negated)
        if self._accept("in"):
            self._expect("(")
            values = [self._value()]
            while self._accept(","):
                values.append(self._value())
            self._expect(")")
            return _perhaps_not(OneOf(column, token.at, tuple(values)), negated)
        if self._accept("between"):
            low = Comparison(column, token.at, ">=", self._value())
            self._expect("and")
            return _perhaps_not(All((low, Comparison(column, token.at, "<=", self._value()))), negated)
        if negated:
            self._fail("IN, LIKE, ILIKE or BETWEEN")
        if self._peek.kind != "end" and self._peek.keyword not in ("and", "or") and self._peek.text != ")":
            self._fail(f"a comparison after column {column}")
        return Truth(column, token.at)

    def _value(self) -> ColumnValue:
        token = self._peek
        if token.kind == "text":
            self._take()
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number":
            self._take()
            whole = int(token.text) if re.fullmatch(r"[+-]?\d{1,19}", token.text) else None
            number = float(token.text) if whole is None or abs(whole) >= 1 << 63 else whole
            if not math.isfinite(number):
                raise FilterError(self._text, token.at, f"{token.text} is too large")
            return number
        if word := self._accept("true", "false"):
            return word.keyword == "true"
        if token.keyword == "null":
            raise FilterError(self._text, token.at, "nothing equals NULL: write IS NULL or IS NOT NULL")
        if token.kind in ("word", "quoted"):
            text = token.text.strip('"').replace("'", "''")
            raise FilterError(self._text, token.at, f"text stands in single quotes: write '{text}'")
        return self._fail("a value: 'text', a number, TRUE or FALSE")


def _perhaps_not(condition: Condition, negated: object) -> Condition:
    return Not(condition) if negated else condition
