"""Running a Go module's own tests, and what each of them said."""

import json
from collections import defaultdict
from pathlib import Path

from artefacts import CommandFailed, golang


def run_tests(
    folder: Path, events: Path, *words: str, **variables: str
) -> tuple[list[str], dict[str, str]]:
    """The tests of `go test WORDS` that passed, and those that failed with their output.

    What fails outside of a test, as a package that can't be built, has its package's name.
    `events` is a file that go's events are written to; variables are more of the environment.
    """
    argv = ["test", "-json", "-trimpath", "-vet=off", *words]
    try:
        golang.go(folder, *argv, variables=variables, output=events)
        stopped = None
    except CommandFailed as error:
        stopped = error
    ended: dict[tuple[str, str], str] = {}
    said = defaultdict[tuple[str, str], str](str)
    for line in events.read_text().splitlines():
        event = json.loads(line)
        test = event.get("Package") or event.get("ImportPath", ""), event.get("Test", "")
        if event["Action"] in {"pass", "fail", "skip", "build-fail"}:
            ended[test] = event["Action"]
        said[test] += event.get("Output", "")
    passed = [name for (_, name), action in ended.items() if name and action == "pass"]
    failed = {
        name or package: said[package, name]
        for (package, name), action in ended.items()
        if action.endswith("fail") and (name or not _has_failed_test(ended, package))
    }
    if stopped and not failed:
        failed["go"] = str(stopped)
    return passed, failed


def _has_failed_test(ended: dict[tuple[str, str], str], package: str) -> bool:
    return any(each == package and name and ended[each, name] == "fail" for each, name in ended)
