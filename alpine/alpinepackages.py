"""The wheel's installed Alpine, turned back into packages.

Owns reading apk's installed database (format: apk-tools' `lib/apk/db/installed`, one letter and
a colon a field). Leaves writing packages to `apk`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alpine.apk import Package
from alpine.wheel import wheel_root
from artefacts import run

INFO_FIELDS = {
    "T": "description",
    "U": "url",
    "L": "license",
    "o": "origin",
    "m": "maintainer",
    "D": "depends",
    "p": "provides",
    "r": "replaces",
    "i": "install-if",
    "k": "provider-priority",
    "q": "replaces-priority",
}


@dataclass
class Installed:
    """One entry of the database: its plain fields, its folders and its files."""

    fields: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def parse_installed(text: str) -> Iterator[Installed]:
    """The entries of an installed database, in its order."""
    for block in text.strip().split("\n\n"):
        entry = Installed()
        for line in block.splitlines():
            key, value = line.split(":", 1)
            if key == "F":
                entry.folders.append(value)
            elif key == "R":
                entry.files.append(f"{entry.folders[-1]}/{value}".lstrip("/"))
            else:
                entry.fields.setdefault(key, value)
        yield entry


def alpine_packages(work: Path) -> Iterator[Package]:
    """Every package of the wheel, its files linked into a folder under `work`."""
    root = wheel_root()
    database = root / "lib/apk/db"
    scripts = _scripts(database, work / "scripts")
    triggers = dict(line.split(" ", 1) for line in (database / "triggers").read_text().splitlines())
    for entry in parse_installed((database / "installed").read_text()):
        name, version = entry.fields["P"], entry.fields["V"]
        yield Package(
            name=name,
            version=version,
            files=_collect(root, entry, work / "files" / name),
            info={new: entry.fields.get(old, "") for old, new in INFO_FIELDS.items()},
            scripts=scripts.get(f"{name}-{version}", {}),
            triggers=triggers.get(entry.fields["C"], "").split(),
        )


def _collect(root: Path, entry: Installed, target: Path) -> Path:
    target.mkdir(parents=True)
    for folder in entry.folders:
        (target / folder).mkdir(parents=True, exist_ok=True)
        if folder:
            (target / folder).chmod((root / folder).stat().st_mode & 0o7777)
    for name in entry.files:
        if os.path.lexists(root / name):
            os.link(root / name, target / name, follow_symlinks=False)
    return target


def _scripts(database: Path, folder: Path) -> dict[str, dict[str, Path]]:
    """`{name-version: {kind: script}}`; the archive names them `name-version.X<id>.kind`."""
    found: dict[str, dict[str, Path]] = {}
    folder.mkdir(parents=True)
    run(["tar", "-xzf", database / "scripts.tar.gz", "--no-same-owner", "-C", folder])
    for script in folder.iterdir():
        package, _identity, kind = script.name.rsplit(".", 2)
        found.setdefault(package, {})[kind] = script
    return found
