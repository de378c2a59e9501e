"""Role images: squashfs layers, one per folder of `guest/` that a role is made of.

Owns what a layer holds, its name, and an image's list of layers. Leaves what is in a role to
`guest/roles/<role>`, and what makes one machine different from another to its overlay.
`python -m alpine.image ROLE` prints the image's folder.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alpine import rootfs, squashfs
from alpine.release import release_key
from artefacts import cached, digest, run
from guest.rolefiles import folders as included
from guest.rolefiles import listed

GUEST = Path(__file__).parent.parent / "guest"
COMMON = GUEST / "common"
PARTS = ("packages", "remove", "root")


@dataclass(frozen=True)
class RoleImage:
    """The list of an image's layers, as `sha256sum` writes it, and their files, lowest first."""

    list: Path
    layers: tuple[Path, ...]


def role_folders(role: str) -> tuple[Path, ...]:
    """The folders a role is made of, lowest first: `guest/common`, what it includes, its own.

    Raises:
        FileNotFoundError: there is no such role.
    """
    own = GUEST / "roles" / role
    if not own.is_dir():
        known = ", ".join(sorted(path.name for path in own.parent.iterdir()))
        raise FileNotFoundError(f"no role {role!r} in guest/roles; there are: {known}")
    return (COMMON, *included(role))


def image_key(role: str) -> str:
    """The image's name, known without building it: a digest of everything that goes in."""
    return _key(role_folders(role))


def role_image(role: str) -> RoleImage:
    """The image; layers that are missing are built.

    Needs root, or a user with subordinate ids: then it runs itself in a user namespace.
    """
    folders = role_folders(role)
    if os.geteuid() != 0:
        namespace = ["unshare", "--user", "--map-root-user", "--map-auto"]
        run([*namespace, sys.executable, "-m", "alpine.image", role], cwd=GUEST.parent)
    built = [_layer(folders[:height]) for height in range(1, len(folders) + 1)]
    return RoleImage(built[-1] / "layers", tuple(next(each.glob("*.squashfs")) for each in built))


def _key(folders: Sequence[Path]) -> str:
    code = [Path(__file__), Path(rootfs.__file__), Path(squashfs.__file__)]
    parts = [each / name for each in folders for name in PARTS]
    return digest(release_key(), *[part for part in parts if part.exists()], *code)


def _layer(folders: Sequence[Path]) -> Path:
    """The folder with the layer of the last of `folders`, over those of the others."""
    key = _key(folders)
    title = f"image layer {folders[-1].name}"
    return cached("image", key, lambda work: _build(folders, key, work), title=title)


def _build(folders: Sequence[Path], key: str, work: Path) -> None:
    root = work / "root"
    rootfs.install({name for each in folders for name in listed(each / "packages")}, root)
    for folder in folders:
        rootfs.copy_in(folder / "root", root)
    rootfs.finish(root)
    shutil.copyfile(root / rootfs.MANIFEST, work / "manifest")
    layers = ""
    if lower := folders[:-1]:
        below = _layer(lower)
        rootfs.leave_out(below / "manifest", root)
        layers = (below / "layers").read_text()
    image = work / f"{key}.squashfs"
    squashfs.make_squashfs(root, image)
    with image.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    (work / "layers").write_text(f"{layers}{sha256}  {image.name}\n")
    run(["rm", "-rf", root])


if __name__ == "__main__":
    print(role_image(sys.argv[1]).list.parent)
