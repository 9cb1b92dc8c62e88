# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad configurations, and what balancerd says of each.

Run as a program it prints them as a table in Markdown:

    top_builddir=BUILD python3 tests/support/configuration.py
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import tree  # noqa: E402

MAIN = "balancerd.json"
FOLDER = "balancerd.json.d"


def table():
    """What the parser knows: a dictionary for each setting, in order."""
    done = subprocess.run(
        [tree.BUILD / "tests/outside/settings-table"], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def write(folder, files):
    """Makes the files below FOLDER: text, bytes, or a function that makes what it is given."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if callable(content):
            content(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)


def check(folder, *arguments, prefix=()):
    return subprocess.run(
        [*prefix, tree.BALANCERD, "--check", "--config-dir", str(folder), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def faults_of(folder, *arguments, prefix=()):
    """The lines of faults, with the folder left out."""
    done = check(folder, *arguments, prefix=prefix)
    assert done.stderr == ""
    good = re.compile(r".*: OK|[\w.]+=\S+|the defaults; there is no file|\S+ has no effect in this version")
    lines = [line for line in done.stdout.splitlines() if not good.fullmatch(line)]
    assert done.returncode == (1 if lines else 0), done.stdout
    return [line.replace(f"{folder}/", "") for line in lines]


@dataclass(frozen=True)
class Case:
    """FILES and --set arguments; MESSAGES: all lines that --check prints of them."""

    title: str
    files: dict
    messages: list
    sets: list = field(default_factory=list)
    prefix: list = field(default_factory=list)

    def said(self, folder):
        write(folder, self.files)
        arguments = [part for one in self.sets for part in ("--set", one)]
        return faults_of(folder, *arguments, prefix=self.prefix)


def syntax(title, text, message):
    return Case(title, {MAIN: text}, [f"{MAIN}:{message}"])


def value(title, text, message):
    return Case(title, {MAIN: text}, [f"{MAIN}: {message}"])


def unreadable(path):
    path.write_text("{}")
    path.chmod(0)


def unreadable_folder(path):
    path.mkdir()
    path.chmod(0)


def bind_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


BALANCE_KEYS = "one of unbalanced, stuckThreads, rotate, acrossNodes, realtime, tick, quietTick"
KEYS = "one of $schema, balance, push, windows, observe, taskstats"
# A user without power over other users' files, and so over those that nobody may read.
POWERLESS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

CASES = [
    syntax("cut short", '{"balance": {"tick": "20ms"', "1:27: expected more: the file is cut short"),
    syntax("cut within a string", '{"obser', "1:7: expected more: the file is cut short"),
    syntax("no quotes", "{tick: 1}", "1:5: expected valid JSON: string or '}' expected near 'tick'"),
    syntax("comma at the end", '{\n  "taskstats": true,\n}', "3:1: expected valid JSON: string or '}' expected near '}'"),
    syntax("no comma", '{"observe": "own"\n "taskstats": true}', "2:12: expected valid JSON: '}' expected near '\"taskstats\"'"),
    syntax("misspelt word", '{"taskstats": ture}', "1:18: expected valid JSON: invalid token near 'ture'"),
    syntax("comment", '{} // no', "1:4: expected nothing more"),
    syntax("comment in front", '# no\n{}', "1:1: expected valid JSON: invalid token near '#'"),
    syntax("two documents", "{}\n{}", "2:1: expected nothing more"),
    syntax("NUL byte behind", b"{}\0", "1:3: expected nothing more"),
    syntax("NUL byte within", b'{"obs\0erve": "own"}', "1:5: expected valid JSON: control character 0x0 near '\"obs'"),
    syntax("NUL in a value", r'{"observe": "own\u0000"}', r"1:23: expected no NUL (\u0000) within a string"),
    syntax("NUL in a key", r'{"observe\u0000": "own"}', r"1:16: expected no NUL (\u0000) within a key"),
    syntax("not UTF-8", b'{"observe": "\xff"}', "1:13: expected UTF-8: unable to decode byte 0xff near '\"'"),
    syntax("byte order mark", b"\xef\xbb\xbf{}", r"1:1: expected valid JSON: invalid token near '\xef\xbb\xbf'"),
    syntax("UTF-16", "{}".encode("utf-16"), "1:1: expected UTF-8: unable to decode byte 0xff"),
    syntax("terminal codes", "{\x1b[2J}", r"1:2: expected valid JSON: string or '}' expected near '\x1b'"),
    syntax("key twice", '{"observe": "own",\n "observe": "all"}', "2:10: expected each key once"),
    syntax("10,000 levels", "[" * 10000, "1:2049: expected fewer levels of nesting"),
    syntax("huge whole number", '{"windows": {"perUser": 1' + "0" * 30 + "}}", "1:55: expected a number that is not as large"),
    syntax("huge number", '{"windows": {"perUser": 1e999}}', "1:29: expected a number that is not as large"),
    value("an empty file", "", "expected a JSON object; the file is empty"),
    value("a blank file", " \n\t\n", "expected a JSON object; the file is empty"),
    value("an array", "[]", "expected an object"),
    value("a number", "7", "expected an object"),
    value("unknown section", '{"balancer": {}}', f"/balancer: expected {KEYS}"),
    value("unknown key", '{"balance": {"ticks": "1ms"}}', f"/balance/ticks: expected {BALANCE_KEYS}"),
    value("key of --set", '{"balance.tick": "1ms"}', f"/balance.tick: expected {KEYS}"),
    value("empty key", '{"": 1}', f"/: expected {KEYS}"),
    value("key that a pointer escapes", '{"a/b~c": 1}', f"/a~1b~0c: expected {KEYS}"),
    value("foreign bytes", '{"t\\u001b[2J\\n\\\\ü": 1}', rf"/t\x1b[2J\x0a\x5c\xc3\xbc: expected {KEYS}"),
    value("long key", '{"' + "k" * 1000 + '": 1}', f"/{'k' * 128}...: expected {KEYS}"),
    value("section that is none", '{"windows": 3}', "/windows: expected an object"),
    value("schema that is none", '{"$schema": null}', "/$schema: expected the schema's address, in quotes"),
    value("number for a time", '{"balance": {"tick": 20}}', "/balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s, in quotes"),
    value("no unit", '{"balance": {"tick": "20"}}', "/balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s"),
    value("unknown unit", '{"balance": {"tick": "20msec"}}', "/balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s"),
    value("time too short", '{"balance": {"tick": "999us"}}', "/balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s"),
    value("time too long", '{"balance": {"tick": "1001ms"}}', "/balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s"),
    value("no end", '{"windows": {"maxLength": "infinity"}}', "/windows/maxLength: expected a time with its unit, such as 1s, from 1ms to 1d"),
    value("off by a truth value", '{"balance": {"rotate": false}}', "/balance/rotate: expected off, or a time with its unit, such as 1s, from 100ms to 1h, in quotes"),
    value("truth value in quotes", '{"taskstats": "true"}', "/taskstats: expected true or false, without quotes"),
    value("truth value by number", '{"taskstats": 1}', "/taskstats: expected true or false"),
    value("null", '{"observe": null}', "/observe: expected own or all, in quotes"),
    value("unknown word", '{"push": {"victims": "everyone"}}', "/push/victims: expected same-user or any"),
    value("fraction", '{"windows": {"perUser": 1.0}}', "/windows/perUser: expected a whole number from 0 to 65536"),
    value("negative number", '{"windows": {"perUser": -1}}', "/windows/perUser: expected a whole number from 0 to 65536"),
    value("number in quotes", '{"windows": {"perCpu": "8"}}', "/windows/perCpu: expected a whole number from 0 to 65536, without quotes"),
    value("number too large", '{"windows": {"connectionsPerUser": 1025}}', "/windows/connectionsPerUser: expected a whole number from 1 to 1024"),
    value("number beyond 32 bits", '{"windows": {"perUser": 4294967297}}', "/windows/perUser: expected a whole number from 0 to 65536"),
    Case("several", {MAIN: '{"balance": {"tick": 1, "rotate": 2}, "x": 3}', f"{FOLDER}/a.json": "{"}, [
        f"{MAIN}: /balance/tick: expected a time with its unit, such as 20ms, from 1ms to 1s, in quotes",
        f"{MAIN}: /balance/rotate: expected off, or a time with its unit, such as 1s, from 100ms to 1h, in quotes",
        f"{MAIN}: /x: expected {KEYS}",
        f"{FOLDER}/a.json:1:1: expected more: the file is cut short",
    ]),
    value("tick longer than the quiet one", '{"balance": {"tick": "500ms", "quietTick": "100ms"}}', "/balance/quietTick: expected at least balance.tick, which is 500ms"),
    value("the same, and another fault", '{"balance": {"tick": "500ms", "quietTick": "100ms", "realtime": 1}}', "/balance/realtime: expected true or false"),
    Case("the same in two files", {
        f"{FOLDER}/1.json": '{"balance": {"quietTick": "100ms"}}',
        f"{FOLDER}/2.json": '{"balance": {"tick": "101ms"}}',
    }, [f"{FOLDER}/2.json: /balance/tick: expected at most balance.quietTick, which is 100ms"]),
    Case("the same with --set", {MAIN: '{"balance": {"tick": "500ms"}}'}, ["--set: /balance/quietTick: expected at least balance.tick, which is 500ms"], sets=["balance.quietTick=100ms"]),
    value("default longer than the maximum", '{"windows": {"maxLength": "500ms", "libraryMaxLength": "500ms"}}', "/windows/maxLength: expected at least windows.defaultLength, which is 1s"),
    value("library's longer than the maximum", '{"windows": {"libraryMaxLength": "11s"}}', "/windows/libraryMaxLength: expected at most windows.maxLength, which is 10s"),
    value("users' longer than the privileged", '{"windows": {"privilegedMaxLength": "9s"}}', "/windows/privilegedMaxLength: expected at least windows.maxLength, which is 10s"),
    Case("file that nobody may read", {MAIN: unreadable}, [f"{MAIN}: expected a file that can be read: Permission denied"], prefix=POWERLESS),
    Case("folder that nobody may read", {FOLDER: unreadable_folder}, [f"{FOLDER}: expected a folder that can be read: Permission denied"], prefix=POWERLESS),
    Case("file that is a folder", {MAIN: Path.mkdir}, [f"{MAIN}: expected a regular file"]),
    Case("file that is a pipe", {f"{FOLDER}/pipe.json": os.mkfifo}, [f"{FOLDER}/pipe.json: expected a regular file"]),
    Case("file that is a socket", {f"{FOLDER}/socket.json": bind_socket}, [f"{FOLDER}/socket.json: expected a regular file"]),
    Case("file that is a device", {MAIN: lambda path: path.symlink_to("/dev/null")}, [f"{MAIN}: expected a regular file"]),
    Case("folder that is a file", {FOLDER: "{}"}, [f"{FOLDER}: expected a folder"]),
    Case("link to itself", {MAIN: lambda path: path.symlink_to(path)}, [f"{MAIN}: expected a file that can be read: Too many levels of symbolic links"]),
    Case("link to nothing", {f"{FOLDER}/gone.json": lambda path: path.symlink_to("nothing")}, [f"{FOLDER}/gone.json: expected a file that can be read: No such file or directory"]),
    Case("first file a link to nothing", {MAIN: lambda path: path.symlink_to("nothing")}, [f"{MAIN}: expected a file that can be read: No such file or directory"]),
    Case("more than 1 MiB", {MAIN: "{}" + " " * (1 << 20)}, [f"{MAIN}: expected a file of at most 1 MiB"]),
    Case("foreign bytes in a file's name", {f"{FOLDER}/\x1b[2J ü.json": "7"}, [rf"{FOLDER}/\x1b[2J \xc3\xbc.json: expected an object"]),
    Case("101 faults", {MAIN: json.dumps({f"k{n}": n for n in range(101)})}, [f"{MAIN}: /k{n}: expected {KEYS}" for n in range(100)] + ["... and more"]),
]


def markdown():
    """The table for people."""
    rows = ["| configuration | --set | message |", "|---|---|---|"]
    for case in CASES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            said = case.said(folder)
            for path in folder.rglob("*"):
                path.chmod(0o700) if not path.is_symlink() else None
        shown = said if len(said) <= 4 else [said[0], f"... {len(said) - 2} more ...", said[-1]]
        cells = (case.title, " ".join(case.sets), "<br>".join(f"`{line}`" for line in shown))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())
