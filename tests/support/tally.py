# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts what the levels of tests/check.sh did.

    tally.py RESULTS level NAME STATUS SECONDS LOG FOLDER   what tests left below FOLDER:
                                                           automake's .trs files, or JUnit alone
    tally.py RESULTS single NAME STATUS SECONDS LOG         a level that is one test
    tally.py RESULTS skip NAME REASON
    tally.py RESULTS summary                                prints what was kept, fails on failures

RESULTS keeps one JSON object a test case. A test program counts as its cases where they can be
told: from the JUnit file of a Python test, from the log of a cmocka program.
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

LOG_LINES = 150


def case(name, result, text=""):
    return {"name": name, "result": result, "text": text}


def tail(path):
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    cut = [f"... {len(lines) - LOG_LINES} lines more"] if len(lines) > LOG_LINES else []
    return "\n".join(cut + lines[-LOG_LINES:])


def last_line(path):
    lines = [line for line in tail(path).splitlines() if line.strip()]
    # automake adds a line of its own.
    lines = [line for line in lines if not re.match(r"(SKIP|PASS|FAIL|ERROR) ", line)]
    return lines[-1] if lines else "no reason given"


def junit_cases(name, path):
    found = []
    for node in ElementTree.parse(path).iter("testcase"):
        label = f"{name}: {node.get('name')}"
        bad = node.find("failure") if node.find("failure") is not None else node.find("error")
        skipped = node.find("skipped")
        if bad is not None:
            found.append(case(label, "failed", bad.text or bad.get("message", "")))
        elif skipped is not None:
            found.append(case(label, "skipped", skipped.get("message", "no reason given")))
        else:
            found.append(case(label, "passed"))
    return found


def cmocka_cases(name, log):
    """The cases that a cmocka program told; a case that it did not end has failed."""
    text = log.read_text(errors="replace")
    passed = len(re.findall(r"^\[       OK \] ", text, re.M))
    skipped = set(re.findall(r"^\[  SKIPPED \] (?!\d+ test\(s\))(\S+)", text, re.M))
    # A case says why in a line of its own.
    why = dict(re.findall(r"^\[ RUN      \] (\S+)\nskipped: (.*)$", text, re.M))
    started = re.findall(r"^\[ RUN      \] (\S+)", text, re.M)
    failed = len(started) - passed - len(skipped)
    found = [case(name, "passed")] * passed
    found += [
        case(f"{name}: {one}", "skipped", why.get(one, "no reason given")) for one in skipped
    ]
    found += [case(name, "failed", tail(log))] * max(0, failed)
    return found


def program_cases(name, trs):
    """What one test of automake's harness consists of."""
    result = re.search(r"^:global-test-result: (\w+)", trs.read_text(), re.M)[1]
    log = trs.with_suffix(".log")
    folder = trs
    while folder.name != "tests":
        folder = folder.parent
    junit = folder / "junit" / f"{trs.stem}.xml"
    found = []
    if junit.exists():
        found = junit_cases(name, junit)
    elif log.exists():
        found = cmocka_cases(name, log)
    if not found and result == "PASS":
        found = [case(name, "passed")]
    if not found and result == "SKIP":
        found = [case(name, "skipped", last_line(log))]
    if result not in ("PASS", "SKIP") and not any(c["result"] == "failed" for c in found):
        found.append(case(name, "failed", tail(log)))
    return found


def level_cases(level, status, log, folder):
    found = []
    for trs in sorted(Path(folder).rglob("*.trs")):
        inside = trs.relative_to(folder)
        if inside.parts[0] != "sanitize":
            found += program_cases(f"{level}: {inside.with_suffix('')}", trs)
    if not found:  # what automake's harness did not run tells by JUnit alone
        for junit in sorted(Path(folder).glob("tests/junit/*.xml")):
            found += junit_cases(f"{level}: {junit.stem}", junit)
    if status != 0 and not any(c["result"] == "failed" for c in found):
        found.append(case(level, "failed", tail(log)))
    if not found:
        found.append(case(level, "failed", "nothing was run\n" + tail(log)))
    return found


def counts(cases):
    results = [c["result"] for c in cases]
    return ", ".join(f"{results.count(r)} {r}" for r in ("passed", "failed", "skipped"))


def keep(results, cases, seconds=None):
    with open(results, "a", encoding="utf-8") as file:
        for one in cases:
            file.write(json.dumps(one) + "\n")
    print(counts(cases) + (f" ({seconds} s)" if seconds else ""), flush=True)
    return 1 if any(c["result"] == "failed" for c in cases) else 0


def summary(results):
    with open(results, encoding="utf-8") as file:
        cases = [json.loads(line) for line in file]
    for one in cases:
        if one["result"] == "failed":
            print(f"\n--- failed: {one['name']}\n{one['text']}")
    skipped = [c for c in cases if c["result"] == "skipped"]
    if skipped:
        print()
    for one in skipped:
        print(f"skipped: {one['name']}: {one['text']}")
    print(f"\n{counts(cases)}")
    return 1 if any(c["result"] == "failed" for c in cases) or not cases else 0


def main():
    results, action, *rest = sys.argv[1:]
    if action == "level":
        name, status, seconds, log, folder = rest
        return keep(results, level_cases(name, int(status), log, folder), seconds)
    if action == "single":
        name, status, seconds, log = rest
        good = int(status) == 0
        one = case(name, "passed") if good else case(name, "failed", tail(log))
        return keep(results, [one], seconds)
    if action == "skip":
        return keep(results, [case(rest[0], "skipped", rest[1])])
    return summary(results)


if __name__ == "__main__":
    sys.exit(main())
