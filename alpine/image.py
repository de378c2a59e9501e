"""Role images: squashfs layers, one per folder of `guest/` that a role is made of.

Owns what a layer holds, its name, and an image's list of layers. Leaves what is in a role to
`guest/roles/<role>`, which other folders a rack's images have to `guest.consul`, building Go
programs to `programs`, and what makes one machine different from another to its overlay.
`python -m alpine.image MIRROR KEYS KERNEL ROLE [FOLDER...]` prints the image's folder; the first
two are those of `config.mirror.Mirror`.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpine import programs, rootfs, squashfs
from alpine.release import OFFLINE, Release, chosen
from artefacts import cache_root, cached, digest, run
from artefacts.namespace import build_as_root
from config.mirror import Mirror
from config.profile import Kernel
from guest.rolefiles import folders as included
from guest.rolefiles import listed

GUEST = Path(__file__).parent.parent / "guest"
COMMON = GUEST / "common"
PARTS = ("packages", "programs", "remove", "root")
PROGRAMS = "usr/bin"


@dataclass(frozen=True)
class RoleImage:
    """The list of an image's layers, as `sha256sum` writes it, and their files, lowest first."""

    list: Path
    layers: tuple[Path, ...]


def role_folders(role: str, extra: Sequence[str] = ()) -> tuple[Path, ...]:
    """The folders a role is made of, lowest first: `guest/common`, what it includes, its own.

    `extra` are folders under `guest/` that lie right above `guest/common`, so that roles which
    have the same share these layers.

    Raises:
        FileNotFoundError: there is no such role or folder.
    """
    own = GUEST / "roles" / role
    if not own.is_dir():
        known = ", ".join(sorted(path.name for path in own.parent.iterdir()))
        raise FileNotFoundError(f"no role {role!r} in guest/roles; there are: {known}")
    above = tuple(GUEST / name for name in extra)
    if missing := [path.name for path in above if not path.is_dir()]:
        raise FileNotFoundError(f"no such folder in guest/: {', '.join(missing)}")
    return (COMMON, *above, *included(role))


def image_key(role: str, extra: Sequence[str] = (), release: Release = OFFLINE) -> str:
    """The image's name, known without building it: a digest of everything that goes in."""
    return _key(release, role_folders(role, (*release.folders, *extra)))


def role_image(role: str, extra: Sequence[str] = (), release: Release = OFFLINE) -> RoleImage:
    """The image; layers that are missing are built.

    Needs root, or a user with subordinate ids: then it runs itself in a user namespace.
    """
    folders = role_folders(role, (*release.folders, *extra))
    if os.geteuid() != 0 and not (cache_root() / "image" / _key(release, folders)).is_dir():
        for name in _programs(folders):  # here, where one sees what takes minutes
            programs.build(name)
        mirror = release.mirror
        named = (mirror.place, mirror.keys) if mirror else ("", "")
        build_as_root("alpine.image", *named, release.kernel, role, *extra)
    built = [_layer(release, folders[:height]) for height in range(1, len(folders) + 1)]
    return RoleImage(built[-1] / "layers", tuple(next(each.glob("*.squashfs")) for each in built))


def _key(release: Release, folders: Sequence[Path]) -> str:
    code = [Path(__file__), Path(rootfs.__file__), Path(squashfs.__file__)]
    parts = [each / name for each in folders for name in PARTS]
    built = [programs.key(name) for name in _programs(folders)]
    origin = rootfs.origin(release.mirror) if release.mirror else ()
    return digest(release.key, *origin, *[part for part in parts if part.exists()], *built, *code)


def wanted_packages(folders: Iterable[Path]) -> set[str]:
    """The packages that folders of `guest/` ask for, by Alpine's names."""
    return {name for each in folders for name in listed(each / "packages")}


def _programs(folders: Sequence[Path]) -> list[str]:
    return sorted({name for each in folders for name in listed(each / "programs")})


def _layer(release: Release, folders: Sequence[Path]) -> Path:
    """The folder with the layer of the last of `folders`, over those of the others."""
    key = _key(release, folders)
    title = f"image layer {folders[-1].name}"
    return cached("image", key, lambda work: _build(release, folders, key, work), title=title)


def _build(release: Release, folders: Sequence[Path], key: str, work: Path) -> None:
    root = work / "root"
    rootfs.install(release, wanted_packages(folders), root)
    for name in _programs(folders):
        target = root / PROGRAMS / name
        shutil.copyfile(programs.build(name), target)
        target.chmod(0o755)
    for folder in folders:
        rootfs.copy_in(folder / "root", root)
    rootfs.finish(root)
    shutil.copyfile(root / rootfs.MANIFEST, work / "manifest")
    layers = ""
    if lower := folders[:-1]:
        below = _layer(release, lower)
        rootfs.leave_out(below / "manifest", root)
        layers = (below / "layers").read_text()
    image = work / f"{key}.squashfs"
    squashfs.make_squashfs(root, image)
    with image.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    (work / "layers").write_text(f"{layers}{sha256}  {image.name}\n")
    run(["rm", "-rf", root])


if __name__ == "__main__":
    _mirror, _keys, _kernel, _role, *_extra = sys.argv[1:]
    _release = chosen(Mirror(_mirror, _keys) if _mirror else None, Kernel(_kernel))
    print(role_image(_role, _extra, _release).list.parent)
