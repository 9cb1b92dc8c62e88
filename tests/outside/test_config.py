# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration file: parser, schema and manual say the same, and every fault is told."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time

import jsonschema
import pytest
from support import configuration, tree
from support.configuration import CASES, FOLDER, MAIN

SETTINGS = configuration.table()
KEYS = [setting["key"] for setting in SETTINGS]
SCHEMA = json.loads((tree.SOURCE / "etc/balancerd.schema.json").read_text())
MANUAL = (tree.SOURCE / "man/balancerd.json.5").read_text()

NSEC = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


@pytest.fixture
def folder(tmp_path):
    """An empty folder for a configuration, which nothing in it keeps from being removed."""
    path = tmp_path / "configuration"
    path.mkdir()
    yield path
    for one in path.rglob("*"):
        if not one.is_symlink():
            one.chmod(0o700)


def as_json(setting, text):
    """The value as it stands in a file."""
    return json.loads(text) if setting["kind"] in ("bool", "number") else text


def nested(key, value):
    """{"balance": {"tick": VALUE}}"""
    section, dot, name = key.rpartition(".")
    return {section: {name: value}} if dot else {name: value}


def pointer(key):
    return "/" + key.replace(".", "/")


# Parser, schema and manual.


def schema_settings(schema=SCHEMA, prefix=""):
    """Every setting of the schema, by key."""
    for name, value in schema["properties"].items():
        if value.get("type") == "object":
            yield from schema_settings(value, f"{prefix}{name}.")
        elif name != "$schema":
            yield prefix + name, value


def schema_kind(value):
    """As the parser calls it, with what belongs to it."""
    span = {"$ref": "#/definitions/span"}
    if value.get("type") == "boolean":
        return "bool", None
    if value.get("type") == "integer":
        return "number", (value["minimum"], value["maximum"])
    if value.get("allOf") == [span]:
        return "span", None
    if "anyOf" in value and value["anyOf"][0] == span:
        (word,) = value["anyOf"][1]["enum"]
        return word, None
    return "word", value["enum"]


def test_schema_is_one():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_schema_has_every_setting_and_no_other():
    assert [key for key, _value in schema_settings()] == KEYS


@pytest.mark.parametrize("setting", SETTINGS, ids=KEYS)
def test_schema_says_what_the_parser_does(setting):
    value = dict(schema_settings())[setting["key"]]
    kind, detail = schema_kind(value)
    assert kind == setting["kind"]
    assert value["default"] == as_json(setting, setting["default"])
    if kind == "word":
        assert detail == setting["words"]
    elif kind == "number":
        assert detail == (setting["min"], setting["max"])
    elif kind != "bool":
        assert value["description"].endswith(": " + setting["expected"])


def manual_settings():
    """What the manual says of each setting, as plain text, by key."""
    section = MANUAL.split(".Sh SETTINGS")[1].split("\n.Sh ")[0]
    found = {}
    for item in section.split("\n.It Cm ")[1:]:
        key, _, text = item.split("\n.El")[0].partition("\n")
        text = re.sub(r"^\.[A-Z][a-z] ", "", text, flags=re.M)
        found[key] = re.sub(r"\s+", " ", text).replace(" ,", ",").replace(" .", ".")
    return found


def test_manual_has_every_setting_in_order_and_no_other():
    assert list(manual_settings()) == KEYS


@pytest.mark.parametrize("setting", SETTINGS, ids=KEYS)
def test_manual_says_what_the_parser_does(setting):
    text = manual_settings()[setting["key"]]
    assert setting["expected"] in text
    assert re.findall(r"Default: (\S+)\.", text) == [setting["default"]]


def manual_examples():
    return [json.loads(text) for text in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", MANUAL, re.M | re.S)]


def test_manual_has_examples():
    assert len(manual_examples()) >= 3


@pytest.mark.parametrize("number", range(len(manual_examples())))
def test_example_of_the_manual_is_good(folder, number):
    example = manual_examples()[number]
    configuration.write(folder, {MAIN: json.dumps(example)})
    assert configuration.faults_of(folder) == []
    jsonschema.validate(example, SCHEMA)


def test_the_last_example_is_the_defaults():
    """All of them, in order."""
    flat = [
        (f"{section}.{name}", value)
        for section, members in manual_examples()[-1].items()
        if isinstance(members, dict)
        for name, value in members.items()
    ]
    flat += [(k, v) for k, v in manual_examples()[-1].items() if not isinstance(v, dict)]
    assert flat == [(s["key"], as_json(s, s["default"])) for s in SETTINGS]


def test_messages_in_the_manual_are_real(folder):
    """Each is what some case says, or has the form of one."""
    section = MANUAL.split(".Sh DIAGNOSTICS")[1].split("\n.Sh ")[0]
    shown = re.findall(r"^\.Dl (balancerd\.json.*)$", section, re.M)
    assert len(shown) == 3
    configuration.write(folder, {MAIN: '{\n  "a": 1,\n  "a": 1}', f"{FOLDER}/50-site.json": "{}"})
    said = configuration.faults_of(folder)
    configuration.write(folder, {MAIN: '{"balance": {"tick": 5}}'})
    said += configuration.faults_of(folder)
    configuration.write(folder, {
        MAIN: '{"balance": {"tick": "500ms"}}',
        f"{FOLDER}/50-site.json": '{"balance": {"quietTick": "100ms"}}',
    })
    said += configuration.faults_of(folder)
    assert said == shown


# The same documents are accepted and refused.


def interesting_values(setting):
    """What each kind of setting could be taken for."""
    yield from (None, True, False, 0, 1, -1, 1.0, 1.5, 10**12, "", " ", "true", "off", "infinity", "0", "1")
    yield from ([], {}, [1], {"a": 1}, "never", "any", "all", "Own", "20 ms", "1min 30s", "1.5s", "1.s", ".5s")
    yield from ("1ms2ms", "1ms ", " 1ms", "1,5s", "1e3ms", "+1s", "-1s", "1S", "1m", "1w", "ms", "1\u00a0s")
    yield as_json(setting, setting["default"])
    yield from setting["words"]
    if setting["kind"] == "number":
        yield from (setting["min"], setting["max"], setting["min"] - 1, setting["max"] + 1)
    elif setting["max"]:
        yield from (f"{setting['min']}ns", f"{setting['max']}ns")
        yield from (f"{setting['min'] - 1}ns", f"{setting['max'] + 1}ns")


def is_a_time_out_of_range(setting, value):
    part = r"([0-9]+(?:\.[0-9]+)?)[ \t]*(ns|us|ms|s|min|h|d)[ \t]*"
    if setting["kind"] not in ("span", "off", "infinity") or not isinstance(value, str):
        return False
    if not re.fullmatch(f"(?:{part})+", value):
        return False
    nsec = sum(float(number) * NSEC[unit] for number, unit in re.findall(part, value))
    return not setting["min"] <= nsec <= setting["max"]


@pytest.mark.parametrize("setting", SETTINGS, ids=KEYS)
def test_schema_and_parser_agree(folder, setting):
    """On every value but times, whose range the schema cannot tell."""
    validator = jsonschema.Draft7Validator(SCHEMA)
    fault = f"{MAIN}: {pointer(setting['key'])}: expected "
    n_good = 0
    for value in interesting_values(setting):
        document = nested(setting["key"], value)
        configuration.write(folder, {MAIN: json.dumps(document)})
        faults = [line for line in configuration.faults_of(folder) if setting["expected"] in line]
        assert all(line.startswith(fault) for line in faults)
        if is_a_time_out_of_range(setting, value):
            assert faults, value
            assert validator.is_valid(document), value
        else:
            # jsonschema, as the specification has it, takes 1.0 for a whole number.
            by_schema = validator.is_valid(document) and not isinstance(value, float)
            assert bool(faults) != by_schema, value
            n_good += by_schema
    assert n_good >= 1


NAMES = ["", "x", "Tick", "tick ", "taskstat", "balance.tick", "/tick", "windows/perUser"]
INSIDE = [*NAMES, "$schema", "balance", "observe"]


@pytest.mark.parametrize(
    ("section", "name"),
    [("", name) for name in NAMES]
    + [(section, name) for section in ("balance", "push", "windows") for name in INSIDE],
)
def test_schema_and_parser_know_the_same_keys(folder, section, name):
    document = {section: {name: "1s"}} if section else {name: "1s"}
    configuration.write(folder, {MAIN: json.dumps(document)})
    (fault,) = configuration.faults_of(folder)
    assert "expected one of " in fault
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(document)


# Faults.


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_bad_configuration(folder, case):
    assert case.said(folder) == case.messages


def test_there_are_many_cases():
    assert len(CASES) >= 60
    assert len({case.title for case in CASES}) == len(CASES)


@pytest.mark.parametrize("setting", SETTINGS, ids=KEYS)
def test_wrong_types(folder, setting):
    """Of every key, with the exact message."""
    quoted = setting["kind"] not in ("bool", "number")
    for value in (None, True, 7, 7.5, [], {}, "x"):
        if (setting["kind"], value) in (("bool", True), ("number", 7)):
            continue
        hint = ""
        if isinstance(value, str) != quoted:
            hint = ", in quotes" if quoted else ", without quotes"
        if not quoted and not isinstance(value, str):
            hint = ""
        configuration.write(folder, {MAIN: json.dumps(nested(setting["key"], value))})
        expected = f"{MAIN}: {pointer(setting['key'])}: expected {setting['expected']}{hint}"
        assert configuration.faults_of(folder) == [expected], value


def cut_everywhere():
    text = json.dumps(manual_examples()[-1])
    return [text[:length] for length in range(1, len(text), 7)]


def test_a_file_that_is_cut_short_anywhere(folder):
    for text in cut_everywhere():
        configuration.write(folder, {MAIN: text})
        (fault,) = configuration.faults_of(folder)
        assert re.search(r":1:\d+: expected (more: the file is cut short|valid JSON: )", fault), text


# What is read, in which order.


def effective(folder, *sets):
    """What --check says is in effect, defaults apart: {"balance.tick": "10ms"}."""
    done = configuration.check(folder, *[part for one in sets for part in ("--set", one)])
    assert (done.returncode, done.stderr) == (0, "")
    return dict(re.findall(r"^([\w.]+)=(.*)$", done.stdout, re.M))


def test_nothing_at_all(folder):
    done = configuration.check(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the defaults; there is no file\n", "")
    done = configuration.check(folder, "--set", "observe=all")
    assert done.stdout == "the defaults; there is no file\nobserve=all\n"


def test_folder_that_somebody_has_misspelt(folder):
    done = configuration.check(folder / "typo")
    said = f"{folder}/typo: expected a folder that can be read: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, said, "")


def test_default_folder_need_not_be_there():
    said = subprocess.check_output([tree.BALANCERD, "--help"], text=True)
    (default,) = re.findall(r"--config-dir DIR .*\[(.+)\]", said)
    if os.path.exists(default):
        pytest.skip(f"{default} is there")
    done = subprocess.run([tree.BALANCERD, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "the defaults; there is no file"


WITHOUT_EFFECT = [
    key for key in KEYS if key.startswith(("push.", "windows.")) and key != "windows.connectionsPerUser"
]


@pytest.mark.parametrize("by_file", [True, False])
def test_settings_without_effect_are_told(folder, by_file):
    """Where somebody has set them, to the default too; it is no fault."""
    sets = []
    if by_file:
        configuration.write(folder, {MAIN: json.dumps(manual_examples()[-1])})
    else:
        sets = [part for s in SETTINGS for part in ("--set", f"{s['key']}={s['default']}")]
    done = configuration.check(folder, *sets)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [f"{key} has no effect in this version" for key in WITHOUT_EFFECT]


def test_manual_says_which_settings_have_no_effect():
    windows = MANUAL.split(".Ss Windows and connections")[1].split(".Bl")[0]
    assert "Of these\n.Cm windows.connectionsPerUser\ntakes effect in this version" in windows
    assert ".Ss Making room for windows\nThese have no effect in this version" in MANUAL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read as somebody else")
def test_root_reads_as_the_owner_of_the_runtime_directory(runtime_dir):
    folder, run = runtime_dir / "etc", runtime_dir / "run"
    folder.mkdir()
    run.mkdir()
    os.chown(run, 65534, 65534)
    configuration.write(folder, {MAIN: "{}"})
    (folder / MAIN).chmod(0o600)
    who = f"as user {pwd.getpwuid(65534).pw_name}, who owns {run}:"
    options = ("--runtime-dir", str(run))
    assert configuration.check(folder, *options).stdout.splitlines() == [
        who, f"{folder}/{MAIN}: expected a file that can be read: Permission denied"
    ]
    os.chown(folder / MAIN, -1, 65534)
    (folder / MAIN).chmod(0o640)
    done = configuration.check(folder, *options)
    assert (done.returncode, done.stdout.splitlines()) == (0, [who, f"{folder}/{MAIN}: OK"])
    # A folder that no service reads is read as it is.
    (folder / MAIN).chmod(0o600)
    assert configuration.check(folder).stdout == f"{folder}/{MAIN}: OK\n"
    os.chown(run, 0, 0)
    assert configuration.check(folder, *options).stdout == f"{folder}/{MAIN}: OK\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read as somebody else")
def test_root_reads_as_the_owner_of_the_default_runtime_directory(runtime_dir):
    """Unless a folder is named that the service does not read."""
    script = 'mount -t tmpfs none /run; mkdir /run/balancerd; chown 65534:65534 /run/balancerd; exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", script, "sh"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("mount namespaces are not permitted here")
    told = subprocess.check_output([*prefix, tree.BALANCERD, "--check"], text=True)
    assert told.startswith(f"as user {pwd.getpwuid(65534).pw_name}, who owns /run/balancerd:\n")
    done = configuration.check(runtime_dir, prefix=prefix)
    assert (done.returncode, done.stdout) == (0, "the defaults; there is no file\n")


def test_an_empty_object(folder):
    configuration.write(folder, {MAIN: "{}"})
    assert configuration.check(folder).stdout == f"{folder}/{MAIN}: OK\n"


def test_later_ones_win_key_by_key(folder):
    configuration.write(folder, {
        MAIN: '{"balance": {"tick": "1ms", "rotate": "2s", "quietTick": "9s"}, "observe": "all"}',
        # By bytes: "10" before "9", capitals before small letters, all of ASCII before the rest.
        f"{FOLDER}/9.json": '{"balance": {"tick": "3ms"}}',
        f"{FOLDER}/10.json": '{"balance": {"tick": "4ms", "rotate": "3s"}}',
        f"{FOLDER}/b.json": '{"windows": {"perUser": 2}}',
        f"{FOLDER}/B.json": '{"windows": {"perUser": 1}}',
        f"{FOLDER}/ä.json": '{"windows": {"perCpu": 2}}',
        f"{FOLDER}/z.json": '{"windows": {"perCpu": 1}}',
    })
    assert effective(folder) == {
        "balance.rotate": "3s", "balance.tick": "3ms", "balance.quietTick": "9s",
        "windows.perUser": "2", "windows.perCpu": "2", "observe": "all",
    }
    assert effective(folder, "balance.tick=5ms", "observe=own")["balance.tick"] == "5ms"
    assert "observe" not in effective(folder, "observe=own")


def test_order_is_not_the_locales(folder, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    test_later_ones_win_key_by_key(folder)


def test_a_default_can_be_set_again(folder):
    configuration.write(folder, {
        MAIN: '{"balance": {"tick": "1s", "quietTick": "1s"}}',
        f"{FOLDER}/1.json": '{"balance": {"tick": "20ms"}}',
    })
    assert effective(folder) == {}


def test_leftovers_are_ignored(folder):
    names = [".json", ".a.json", ".a.json.swp", "a.json~", "a.json.bak", "#a.json#", "a.JSON", "README", "ajson", "json"]
    configuration.write(folder, {f"{FOLDER}/{name}": "not JSON" for name in names})
    (folder / FOLDER / "empty").mkdir()
    configuration.write(folder, {f"{MAIN}~": "no", f"{FOLDER}/a.json": '{"taskstats": true}'})
    assert configuration.check(folder).stdout == f"{folder}/{FOLDER}/a.json: OK\ntaskstats=true\n"


def test_good_files_among_bad_ones_are_told(folder):
    configuration.write(folder, {MAIN: "{}", f"{FOLDER}/a.json": "7", f"{FOLDER}/b.json": '{"observe": "all"}'})
    done = configuration.check(folder)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{folder}/{MAIN}: OK",
        f"{folder}/{FOLDER}/b.json: OK",
        f"{folder}/{FOLDER}/a.json: expected an object",
    ]


def test_what_is_printed_can_be_set(folder):
    """The lines for settings are arguments of --set that say the same."""
    changed = {
        "bool": lambda s: "false" if s["default"] == "true" else "true",
        "number": lambda s: str(s["max"]),
        "word": lambda s: s["words"][-1] if s["words"][-1] != s["default"] else s["words"][0],
    }
    sets = [f"{s['key']}={changed[s['kind']](s)}" for s in SETTINGS if s["kind"] in changed]
    sets += ["balance.rotate=off", "balance.tick=1500us", "balance.quietTick=1min", "windows.defaultLength=1ms"]
    sets += ["windows.maxLength=90s", "windows.libraryMaxLength=90s", "windows.privilegedMaxLength=1d"]
    first = effective(folder, *sets)
    assert list(first) == KEYS
    assert effective(folder, *[f"{key}={value}" for key, value in first.items()]) == first


def test_nobody_reads_what_check_prints():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            [tree.BALANCERD, "--check", "--config-dir", "/proc", "--set", "observe=all"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "balancerd: cannot check the configuration: No space left on device\n"


# What is installed.


def make(target, root):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run(
        ["make", "-C", tree.BUILD, "-s", target, f"DESTDIR={root}", "configdir=/etc/balancerd"],
        stdout=subprocess.DEVNULL, env=environment, check=True, timeout=300,
    )


def test_installed_configuration(tmp_path):
    """It is good, names the schema and sets nothing; one that is there stays."""
    make("install-data-local", tmp_path)
    installed = tmp_path / "etc/balancerd"
    assert sorted(path.name for path in installed.iterdir()) == [MAIN, FOLDER]
    assert configuration.check(installed).stdout == f"{installed}/{MAIN}: OK\n"
    content = json.loads((installed / MAIN).read_text())
    assert list(content) == ["$schema"]
    assert re.fullmatch(r"file:///.*/balancerd\.schema\.json", content["$schema"])
    configuration.write(installed, {MAIN: '{"observe": "all"}'})
    make("install-data-local", tmp_path)
    make("uninstall-local", tmp_path)
    assert (installed / MAIN).read_text() == '{"observe": "all"}'


def test_uninstall_leaves_nothing(tmp_path):
    make("install-data-local", tmp_path)
    make("uninstall-local", tmp_path)
    assert list((tmp_path / "etc").iterdir()) == []


# Changed while it is read: the program is stopped right behind a system call of its reading.


def make_change(path, change):
    text = path.read_text()
    if change == "grown":
        path.write_text(text + " \n")
    elif change == "shrunk":
        os.truncate(path, 3)
    elif change == "rewritten":
        path.write_text(text.replace("all", "own"))
    elif change == "replaced":
        other = path.with_suffix(".new")
        other.write_text(text)
        other.rename(path)
    else:
        os.utime(path, (1, 1))


def wait_until_stopped(trace, process):
    deadline = time.monotonic() + 60
    while "--- stopped by SIGSTOP ---" not in (trace.read_text() if trace.exists() else ""):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_and_change(folder, trace, calls, path, change):
    """What --check says when CHANGE is made behind the first of the system CALLS on PATH."""
    # -D: what is started becomes the program, and strace its grandchild.
    strace = ["strace", "-D", "-o", trace, "-P", path, "-e", f"trace={calls}"]
    command = [*strace, "-e", f"inject={calls}:signal=STOP:when=1", tree.BALANCERD]
    with subprocess.Popen(
        [*command, "--check", "--config-dir", folder], stdout=subprocess.PIPE, text=True
    ) as process:
        wait_until_stopped(trace, process)
        change()
        process.send_signal(signal.SIGCONT)
        return process.stdout.read().replace(f"{folder}/", "")


@pytest.mark.parametrize("calls", ["fstat,newfstatat", "pread64"])
@pytest.mark.parametrize("change", ["grown", "shrunk", "rewritten", "replaced", "touched"])
def test_changed_while_it_is_read(folder, tmp_path, calls, change):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    configuration.write(folder, {MAIN: '{"observe": "all"}\n'})
    path = folder / MAIN
    said = check_and_change(folder, tmp_path / "trace", calls, path, lambda: make_change(path, change))
    assert said == f"{MAIN}: expected a file that does not change while it is read\n"


def test_stopped_and_not_changed(folder, tmp_path):
    """It is the change that is told, not the stop."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    configuration.write(folder, {MAIN: '{"observe": "all"}\n'})
    said = check_and_change(folder, tmp_path / "trace", "pread64", folder / MAIN, lambda: None)
    assert said == f"{MAIN}: OK\nobserve=all\n"


def test_gone_between_the_listing_and_the_reading(folder, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    name = f"{FOLDER}/a.json"
    configuration.write(folder, {name: "{}"})
    said = check_and_change(
        folder, tmp_path / "trace", "getdents64", folder / FOLDER, (folder / name).unlink
    )
    assert said == f"{name}: expected a file that does not change while it is read\n"
