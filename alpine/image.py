"""Role images: one squashfs per role, from the release tree's packages and `guest/`.

Owns an image's name and its parts. Leaves what is in a role to `guest/roles/<role>`, and what
makes one machine different from another to its overlay. `python -m alpine.image ROLE` prints the
image's path.
"""

import hashlib
import os
import sys
from pathlib import Path

from alpine import rootfs, squashfs
from alpine.release import release_key
from artefacts import cached, digest, run
from guest.rolefiles import folders as included
from guest.rolefiles import listed

GUEST = Path(__file__).parent.parent / "guest"
COMMON = GUEST / "common"
PARTS = ("packages", "remove", "root")


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
    code = [Path(module.__file__ or "") for module in (rootfs, squashfs)]
    parts = [each / name for each in role_folders(role) for name in PARTS]
    return digest(release_key(), *[part for part in parts if part.exists()], *code)


def role_image(role: str) -> Path:
    """The image `<key>.squashfs`, with `<key>.squashfs.sha256` beside it; built if need be.

    Needs root, or a user with subordinate ids: then it runs itself in a user namespace.
    """
    key = image_key(role)
    if os.geteuid() != 0:
        namespace = ["unshare", "--user", "--map-root-user", "--map-auto"]
        run([*namespace, sys.executable, "-m", "alpine.image", role], cwd=GUEST.parent)
    title = f"image of role {role}"
    folder = cached("image", key, lambda work: _build(role, key, work), title=title)
    return folder / f"{key}.squashfs"


def _build(role: str, key: str, work: Path) -> None:
    root = work / "root"
    folders = role_folders(role)
    rootfs.install({name for each in folders for name in listed(each / "packages")}, root)
    for folder in folders:
        rootfs.copy_in(folder / "root", root)
    rootfs.finish(root)
    image = work / f"{key}.squashfs"
    squashfs.make_squashfs(root, image)
    with image.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    image.with_name(f"{image.name}.sha256").write_text(f"{sha256}  {image.name}\n")
    run(["rm", "-rf", root])


if __name__ == "__main__":
    print(role_image(sys.argv[1]))
