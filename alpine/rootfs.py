"""A machine's root file system, as a folder.

Owns what is installed, pruned, locked and recorded in it. Leaves what is wanted to
`guest/common` and the roles, and making an image of it to `image`.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from alpine import apk
from alpine import mirror as mirrors
from alpine.debian import lines
from alpine.debianpackages import LIBRARY_FOLDERS
from alpine.elf import dynamic, is_elf
from alpine.release import Release, repository
from artefacts import LabError, run
from config.mirror import Mirror

COMMON = Path(__file__).parent.parent / "guest/common"
APKS = ("etc/apk", "lib/apk", "usr/share/apk", "var/cache/apk", "var/lib/apk")
"""What only `apk` in the machine has a use for."""
MANIFEST = "usr/share/rack/manifest"
PACKAGES = "usr/share/rack/packages"
CACHE_TIME = 2**31 - 1
"""OpenRC trusts its dependency cache only while it is newer than what the overlay adds."""


def install(release: Release, packages: Iterable[str], root: Path) -> None:
    """Put a release's packages with all they depend on into an empty `root`, then take out what no
    machine needs (`guest/common/remove`), and add the kernel's modules.
    """
    source = f"--repository={repository(release.tree)}"
    system = [f"--root={root}", f"--arch={apk.ARCH}", f"--keys-dir={apk.keys_dir()}", source]
    apk.apk("add", *system, "--initdb", "--no-cache", "--quiet", *sorted(packages))
    (root / PACKAGES).parent.mkdir(parents=True)
    (root / PACKAGES).write_text("\n".join(_installed(root)) + "\n")
    if not (root / "sbin/apk").exists():
        run(["rm", "-rf", *(root / name for name in APKS)])
    elif release.mirror:
        _lead_to(release.mirror, root)
    for pattern in lines(COMMON / "remove"):
        for path in root.glob(pattern.lstrip("/")):
            run(["rm", "-rf", path])
    shutil.copytree(release.kernel_root / "lib/modules", root / "lib/modules")


def origin(mirror: Mirror) -> tuple[str | Path, ...]:
    """What images have of a mirror beside its packages, for their names: place and keys."""
    return _repositories(mirror), *(_keys(mirror) if mirror.keys else [])  # Alpine's are pinned


def _lead_to(mirror: Mirror, root: Path) -> None:
    """Let the machine's apk know the mirror, and whose signatures count."""
    for key in _keys(mirror):
        shutil.copyfile(key, root / "etc/apk/keys" / key.name)
    if places := _repositories(mirror):
        (root / "etc/apk/repositories").write_text(places)


def _keys(mirror: Mirror) -> list[Path]:
    return sorted(mirrors.keys(mirror).glob("*.pub"))


def _repositories(mirror: Mirror) -> str:
    """What /etc/apk/repositories says; nothing for a folder, which is this machine's own."""
    if mirror.place.startswith("/"):
        return ""
    return "".join(f"{mirror.place}/{repository}\n" for repository in mirrors.REPOSITORIES)


def copy_in(source: Path, root: Path) -> None:
    """Lay `source` over `root`: owner root, 755 for folders and what is executable, else 644."""
    if not source.is_dir():
        return
    for folder, subfolders, files in os.walk(source):
        for name in [*subfolders, *files]:
            origin = Path(folder, name)
            target = root / origin.relative_to(source)
            if origin.is_symlink():
                target.unlink(missing_ok=True)
                target.symlink_to(origin.readlink())
            elif origin.is_dir():
                target.mkdir(exist_ok=True)
            else:
                target.unlink(missing_ok=True)
                shutil.copyfile(origin, target)
                target.chmod(0o755 if os.access(origin, os.X_OK) else 0o644)


def finish(root: Path) -> None:
    """What only a complete root can have: locked accounts, lists, OpenRC's dependency cache."""
    shadow = root / "etc/shadow"
    entries = (line.split(":") for line in shadow.read_text().splitlines())
    shadow.write_text("".join(":".join([e[0], "*", "0", *e[3:]]) + "\n" for e in entries))
    for pattern in ("dev/*", "run/*", "tmp/*", "etc/*-", "lib/modules/*/modules.symbols*"):
        for path in root.glob(pattern):
            run(["rm", "-rf", path])
    state = root / "run/openrc"
    state.mkdir(parents=True)
    run(["chroot", root, "/usr/libexec/rc/bin/rc-depend", "-u"])
    cache = root / "var/cache/rc"
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("deptree", "depconfig"):
        if (state / name).exists():
            shutil.move(state / name, cache / name)
    for path in [*root.glob("run/*"), *root.glob("dev/*")]:
        run(["rm", "-rf", path])
    if missing := missing_libraries(root):
        raise LabError(f"programs whose libraries are in no package: {missing}")
    (root / MANIFEST).write_text("".join(f"{line}\n" for line in manifest(root)))
    _set_times(root)


def leave_out(below: Path, root: Path) -> None:
    """Take out of `root` what is the same in the layers below; `below` is their manifest.

    Raises:
        LabError: something of the layers below isn't in `root`; a layer can't remove it.
    """
    lower = set(below.read_text().splitlines())
    own = {_path(line): line for line in manifest(root)}
    if gone := {_path(line) for line in lower} - own.keys():
        raise LabError(f"in a lower layer and not in this one: {sorted(gone)}")
    for path, line in sorted(own.items(), reverse=True):  # what is in a folder before the folder
        inside = root / path.lstrip("/")
        if line in lower and not (inside.is_dir() and not inside.is_symlink()):
            inside.unlink()
        elif line in lower and not any(inside.iterdir()):
            inside.rmdir()
    _set_times(root)


def missing_libraries(root: Path) -> dict[str, list[str]]:
    """`{soname: files}` that glibc programs need and `root` lacks.

    Such a program would not fail to start: musl has a library of the same name, and it
    crashes later.
    """
    folders = [root / name for name in LIBRARY_FOLDERS if (root / name).is_dir()]
    present = {path.name for folder in folders for path in folder.iterdir()}
    missing: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix == ".ko" or "musl" in path.name or not is_elf(path):
            continue
        needed = dynamic(path.read_bytes()).needed
        if not any(soname.startswith("libc.musl") for soname in needed):
            for soname in set(needed) - present:
                missing.setdefault(soname, []).append(str(path.relative_to(root)))
    return missing


def _installed(root: Path) -> list[str]:
    database = (root / "lib/apk/db/installed").read_text()
    entries = (block.splitlines() for block in database.strip().split("\n\n"))
    fields = (
        {line[0]: line[2:] for line in entry if line[:2] in ("P:", "V:")} for entry in entries
    )
    return sorted(f"{entry['P']} {entry['V']}" for entry in fields)


def manifest(root: Path) -> Iterator[str]:
    """`sha256  mode:user:group  path` of everything in `root`, by path.

    The mode is st_mode in octal, so it tells files from links and folders. A link's sha256 is
    that of its target's name, a folder's is a dash.
    """
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            sha256 = hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
        elif stat.S_ISREG(mode):
            with path.open("rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        else:
            sha256 = "-"
        owner = f"{status.st_uid}:{status.st_gid}"
        yield f"{sha256}  {mode:o}:{owner}  /{path.relative_to(root)}"


def _path(line: str) -> str:
    return line.split("  ", 2)[2]


def _set_times(root: Path) -> None:
    """Everything from 1970, so equal content gives an equal image, but OpenRC's cache newest."""
    for path in [root, *root.rglob("*")]:
        os.utime(path, (0, 0), follow_symlinks=False)
    for path in root.glob("var/cache/rc/*"):
        os.utime(path, (CACHE_TIME, CACHE_TIME))
