# SPDX-License-Identifier: LGPL-2.1-or-later
"""Varlink interfaces: a strict parser of their text, and a judge of calls' replies against it.

The grammar is that of varlink.org, "Interface Definition"; where its prose is narrower than its
grammar (a field's name begins with a lowercase letter) the prose counts.
"""

import math
import re
from dataclasses import dataclass

# What the specification gives every service, written down here again, so that the daemon's own text
# is not its own judge.
SERVICE_TEXT = """
interface org.varlink.service
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
"""


class BadInterface(Exception):
    """The text is no interface; says where and why."""


class Mismatch(AssertionError):
    """A value is not of its declared type; says where and what was expected."""


# Types: each has match(value, where, types), which raises Mismatch.


@dataclass(frozen=True)
class Plain:
    name: str

    def match(self, value, where, _types):
        good = {
            "bool": lambda: isinstance(value, bool),
            "int": lambda: type(value) is int and -(2**63) <= value < 2**63,
            "float": lambda: type(value) in (int, float) and math.isfinite(value),
            "string": lambda: isinstance(value, str),
            "object": lambda: isinstance(value, dict),
        }[self.name]()
        if not good:
            raise Mismatch(f"{where}: {value!r} is no {self.name}")


@dataclass(frozen=True)
class Named:
    name: str

    def match(self, value, where, types):
        types[self.name].match(value, where, types)


@dataclass(frozen=True)
class Maybe:
    """Absent where there is nothing: the daemon never says null."""

    of: object

    def match(self, value, where, types):
        self.of.match(value, where, types)


@dataclass(frozen=True)
class Array:
    of: object

    def match(self, value, where, types):
        if not isinstance(value, list):
            raise Mismatch(f"{where}: {value!r} is no array")
        for number, item in enumerate(value):
            self.of.match(item, f"{where}[{number}]", types)


@dataclass(frozen=True)
class Map:
    of: object

    def match(self, value, where, types):
        if not isinstance(value, dict):
            raise Mismatch(f"{where}: {value!r} is no map")
        for key, item in value.items():
            self.of.match(item, f"{where}[{key!r}]", types)


@dataclass(frozen=True)
class Enum:
    values: tuple

    def match(self, value, where, _types):
        if value not in self.values:
            raise Mismatch(f"{where}: {value!r} is none of {', '.join(self.values)}")


@dataclass(frozen=True)
class Struct:
    fields: dict

    def match(self, value, where, types):
        if not isinstance(value, dict):
            raise Mismatch(f"{where}: {value!r} is no object")
        for key, item in value.items():
            if key not in self.fields:
                raise Mismatch(f"{where}: {key!r} is not declared")
            self.fields[key].match(item, f"{where}.{key}", types)
        for key, type_ in self.fields.items():
            if key not in value and not isinstance(type_, Maybe):
                raise Mismatch(f"{where}: {key!r} is missing")


@dataclass(frozen=True)
class Interface:
    name: str
    types: dict  # name: Struct or Enum
    methods: dict  # name: (Struct in, Struct out)
    errors: dict  # name: Struct


# Parsing.

TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+|\#[^\n]*\n)|(?P<word>[A-Za-z][\w.-]*)|(?P<sign>->|[()\[\],:?])"
)
PLAIN = ("bool", "int", "float", "string", "object")
INTERFACE_NAME = re.compile(r"[a-z](-*[a-z0-9])*(\.[a-z0-9](-*[a-z0-9])*)+")
MEMBER_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
FIELD_NAME = re.compile(r"[a-z](_?[A-Za-z0-9])*")


class _Parser:
    def __init__(self, text):
        self.text = text
        self.line = 1
        self.at = 0
        self.fresh_line = True  # no token stands before the next one in its line
        self.token = None
        self.advance()

    def fail(self, expected):
        raise BadInterface(f"line {self.line}: {expected} was expected, not {self.token!r}")

    def advance(self):
        """Returns the present token, and goes to the next: None at the end."""
        token, self.fresh_line = self.token, self.at == 0
        self.token = None
        while self.at < len(self.text):
            match = TOKEN.match(self.text, self.at)
            if not match:
                self.token = self.text[self.at]
                self.fail("a token (a comment ends in a newline)")
            self.at = match.end()
            if not match["blank"]:
                self.token = match[0]
                break
            self.line += match[0].count("\n")
            self.fresh_line |= "\n" in match[0]
        return token

    def take(self, sign):
        if self.token != sign:
            self.fail(repr(sign))
        self.advance()

    def take_name(self, form, what):
        if not self.token or not form.fullmatch(self.token):
            self.fail(what)
        return self.advance()

    def type(self):
        if self.token == "?":
            self.advance()
            if self.token == "?":
                self.fail("a type")
            return Maybe(self.type())
        if self.token == "[":
            self.advance()
            if self.token == "]":
                self.advance()
                return Array(self.type())
            self.take("string")
            self.take("]")
            return Map(self.type())
        if self.token == "(":
            return self.struct_or_enum()
        if self.token in PLAIN:
            return Plain(self.advance())
        return Named(self.take_name(MEMBER_NAME, "a type"))

    def struct_or_enum(self):
        self.take("(")
        if self.token == ")":
            self.advance()
            return Struct({})
        first = self.take_name(FIELD_NAME, "a field's name")
        return self.struct(first) if self.token == ":" else self.enum(first)

    def struct(self, name):
        fields = {}
        while True:
            self.take(":")
            if name in fields:
                self.fail(f"another name than {name}")
            fields[name] = self.type()
            if self.token == ")":
                self.advance()
                return Struct(fields)
            self.take(",")
            name = self.take_name(FIELD_NAME, "a field's name")

    def enum(self, name):
        values = [name]
        while self.token != ")":
            self.take(",")
            values.append(self.take_name(FIELD_NAME, "a value's name"))
        self.advance()
        if len(set(values)) != len(values):
            self.fail("each value once")
        return Enum(tuple(values))

    def only_struct(self):
        found = self.struct_or_enum()
        if not isinstance(found, Struct):
            self.fail("fields with types")
        return found

    def member(self, interface):
        """One type, method or error, on lines of its own."""
        if not self.fresh_line:
            self.fail("a new line")
        keyword = self.advance()
        name = self.take_name(MEMBER_NAME, "a name in UpperCamelCase")
        if name in {**interface.types, **interface.methods, **interface.errors}:
            self.fail(f"another name than {name}")
        if keyword == "type":
            interface.types[name] = self.struct_or_enum()
        elif keyword == "method":
            taken = self.only_struct()
            self.take("->")
            interface.methods[name] = (taken, self.only_struct())
        elif keyword == "error":
            interface.errors[name] = self.only_struct()
        else:
            raise BadInterface(f"line {self.line}: {keyword!r} is no type, method or error")

    def interface(self):
        self.take("interface")
        name = self.take_name(INTERFACE_NAME, "a name such as org.example.name")
        found = Interface(name, {}, {}, {})
        while self.token is not None:
            self.member(found)
        return found


def _named(type_):
    """The names of types that TYPE_ is made of."""
    if isinstance(type_, Named):
        return {type_.name}
    if isinstance(type_, (Maybe, Array, Map)):
        return _named(type_.of)
    if isinstance(type_, Struct):
        return set().union(*map(_named, type_.fields.values()))
    return set()


def parse(text):
    """The Interface, or BadInterface."""
    found = _Parser(text).interface()
    used = set().union(
        *map(_named, found.types.values()),
        *(_named(type_) for pair in found.methods.values() for type_ in pair),
        *map(_named, found.errors.values()),
    )
    if used - set(found.types):
        raise BadInterface(f"no type is called {', '.join(sorted(used - set(found.types)))}")
    if set(found.types) - used:
        raise BadInterface(f"nothing is of type {', '.join(sorted(set(found.types) - used))}")
    if not found.methods:
        raise BadInterface("it has no method")
    return found


class Judge:
    """Holds replies to what their interfaces declare."""

    def __init__(self, *interfaces):
        self.interfaces = {one.name: one for one in interfaces}

    def check(self, method, reply):
        """METHOD: with its interface's name, as it was called; None: there was no proper call."""
        if reply.error:
            owner, _, name = reply.error.rpartition(".")
            if owner not in self.interfaces or name not in self.interfaces[owner].errors:
                raise Mismatch(f"{reply.error} is declared nowhere")
            declared, interface = self.interfaces[owner].errors[name], self.interfaces[owner]
        else:
            owner, _, name = (method or "").rpartition(".")
            if owner not in self.interfaces or name not in self.interfaces[owner].methods:
                raise Mismatch(f"{method} is declared nowhere, and was answered")
            interface = self.interfaces[owner]
            declared = interface.methods[name][1]
        declared.match(reply.parameters, reply.error or method, interface.types)
