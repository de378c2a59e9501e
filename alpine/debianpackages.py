"""Debian's packages, turned into Alpine's: one apk of the same name for each.

Owns what is dropped, how dependencies are translated, and the additions in `packages/<name>/`
(`post-install` script, `root/` files). What `debian.txt` asks for keeps its name, what comes
along is called `debian-<name>`, as Alpine has packages of the same names. A package depends on
the programs its Debian control file names, but on a library only if one of its ELF files needs
it: that leaves out most of the closure. Leaves fetching to `debian`, writing packages to `apk`.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alpine.apk import Package
from alpine.debian import DROPS, HERE, fetch_debs, kernel_package, lines, lock, requests
from alpine.elf import dynamic, is_elf, rename_import, sections
from artefacts import run

ADDITIONS = HERE / "packages"
LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64")
LOADED_AT_RUN_TIME = {"libc6": ["libgcc-s1"], "libvirt-daemon": ["libvirt-daemon-driver-qemu"]}
# What a package is asked for by a script of its own that nothing here runs.
NOT_RUN = {"chrony": {"iproute2"}}
COLLIDING = {"busybox"}
ICU_DATA = "usr/lib/x86_64-linux-gnu/libicudata.so.*.*"


@dataclass
class Unpacked:
    """A Debian package's files and what they say about each other."""

    name: str
    version: str
    control: str
    files: Path
    needed: set[str] = field(default_factory=set)
    sonames: set[str] = field(default_factory=set)


def debian_packages(work: Path) -> Iterator[Package]:
    """Every locked Debian package, converted, its files in a folder under `work`."""
    source = fetch_debs()
    kernel = kernel_package()
    programs = [package for package in lock().packages if package != kernel]
    found = [_unpack(source / f"{p.name}.deb", p.version, work / p.name) for p in programs]
    names = {package.name for package in found}
    owners = {soname: package.name for package in found for soname in package.sonames}
    libraries = {package.name for package in found if package.sonames}
    aliases = requests()
    for package in found:
        depends = control_depends(package.control, names) - libraries
        depends |= {owners[soname] for soname in package.needed if soname in owners}
        depends |= set(LOADED_AT_RUN_TIME.get(package.name, []))
        depends -= NOT_RUN.get(package.name, set())
        alias = aliases.get(package.name, "")
        version = apk_version(package.version)
        renamed = package.name in COLLIDING
        script = ADDITIONS / package.name / "post-install"
        yield Package(
            name=alias if renamed else apk_name(package.name),
            version=version,
            files=package.files,
            info={
                "description": f"Debian {package.name} {package.version}",
                "license": "see Debian",
                "depends": " ".join(sorted(apk_name(name) for name in depends - {package.name})),
                "provides": f"{alias}={version}" if alias and not renamed else "",
            },
            scripts={"post-install": script} if script.exists() else {},
        )


def apk_name(debian: str) -> str:
    """The name of a Debian package in the release tree."""
    return debian if debian in requests() else f"debian-{debian}"


def apk_version(debian: str) -> str:
    """A version apk accepts: upstream's leading digits; the rest is in the description.

    apk refuses most of Debian's (epochs, `+dfsg`, `9.2p1`), and within one release tree
    there is only one version of each anyway.
    """
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", debian)
    return f"{match[1] if match else '0'}-r0"


def control_depends(control: str, names: Iterable[str]) -> set[str]:
    """The packages of `names` a control file's Depends and Pre-Depends ask for.

    Versions are ignored, and of alternatives the first one that is in `names` is taken.
    """
    known = set(names)
    chosen = set()
    for line in re.findall(r"^(?:Pre-)?Depends: (.*)$", control, re.MULTILINE):
        for clause in line.split(","):
            options = [re.split(r"[\s:(]", option.strip())[0] for option in clause.split("|")]
            chosen.update([option for option in options if option in known][:1])
    return chosen


def _unpack(deb: Path, version: str, target: Path) -> Unpacked:
    target.mkdir(parents=True)
    run(["dpkg-deb", "-x", deb, target])
    package = Unpacked(deb.stem, version, run(["dpkg-deb", "-f", deb]), target)
    _drop_files(target)
    if package.name == "busybox":
        _only_extras(target)
    for data in target.glob(ICU_DATA):
        _empty_icu_data(data)
    if package.name == "nbd-server":
        _no_prime_search(target)
    additions = ADDITIONS / package.name / "root"
    if additions.is_dir():
        shutil.copytree(additions, target, dirs_exist_ok=True, symlinks=True)
    for folder, _subfolders, files in os.walk(target):
        for path in (Path(folder, name) for name in files):
            if is_elf(path):
                info = dynamic(path.read_bytes())
                package.needed.update(info.needed)
                if str(path.parent.relative_to(target)) in LIBRARY_FOLDERS and info.soname:
                    package.sonames.add(info.soname)
    return package


def _no_prime_search(target: Path) -> None:
    """nbd-server 3.24 looks for a prime of 2048 bits at each start, before it takes connections.

    It is for TLS, which nobody uses here, and takes an emulated guest seconds to minutes, as luck
    has it. The parameters are freed instead; without TLS nothing reads them (nbd-server.c, main).
    """
    rename_import(
        target / "bin/nbd-server", "gnutls_dh_params_generate2", "gnutls_dh_params_deinit"
    )


def _drop_files(target: Path) -> None:
    for pattern in (line for line in lines(DROPS) if line.startswith("/")):
        for path in target.glob(pattern[1:]):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _only_extras(target: Path) -> None:
    """Debian's busybox has the httpd that Alpine's main one lacks; it gets Alpine's extras name."""
    (target / "bin/busybox").rename(target / "bin/busybox-extras")
    (target / "usr/sbin").mkdir(parents=True, exist_ok=True)
    (target / "usr/sbin/httpd").symlink_to("/bin/busybox-extras")


def _empty_icu_data(path: Path) -> None:
    """Zero ICU's 30 MB of tables: only libxml2 links it, and UTF-8 needs none of them."""
    data = bytearray(path.read_bytes())
    largest = max(sections(bytes(data)), key=lambda section: section.size)
    data[largest.offset : largest.offset + largest.size] = bytes(largest.size)
    path.write_bytes(data)
