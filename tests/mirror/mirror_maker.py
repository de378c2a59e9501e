"""An Alpine mirror as the official ones are: packages and indexes of format 2, with a test key.

Owns writing that format. The packages are those that can be had here: the wheel's Alpine in `main`,
Debian's converted ones in `community`. What differs from an official mirror stands in
docs/alpine.md. `python tests/mirror/mirror_maker.py` makes one to try things with.

A package is three gzip streams, one after the other: signature, control, data; an index is two
(https://wiki.alpinelinux.org/wiki/Apk_spec). They are signed over SHA-1, as Alpine's are.
"""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from alpine import alpinepackages, apk, debianpackages
from alpine.mirror import INDEX, REPOSITORIES
from alpine.release import OFFLINE
from artefacts import cached, digest
from config.mirror import Mirror

KEY_NAME = "test.rsa.pub"
ONE_LINE = {
    "description": "pkgdesc", "url": "url", "license": "license", "origin": "origin",
    "maintainer": "maintainer", "provider-priority": "provider_priority",
    "replaces-priority": "replaces_priority",
    "install-if": "install_if",
}  # fmt: skip
LINE_EACH = {"depends": "depend", "provides": "provides", "replaces": "replaces"}


class Signer:
    """A key that signs a mirror."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def write_public(self, folder: Path) -> Path:
        """The folder, with the public key in it, as `lab:alpineKeys` wants it."""
        folder.mkdir(parents=True, exist_ok=True)
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / KEY_NAME).write_bytes(public)
        return folder

    def signed(self, stream: bytes) -> bytes:
        """A stream with its signature before it."""
        signature = self._key.sign(stream, padding.PKCS1v15(), hashes.SHA1())
        return _control({f".SIGN.RSA.{KEY_NAME}": signature}) + stream


def package(made: apk.Package, signer: Signer) -> bytes:
    """The file of a package."""
    data = _data(made.files)
    lines = [f"pkgname = {made.name}", f"pkgver = {made.version}", f"arch = {apk.ARCH}"]
    size = sum(path.lstat().st_size for path in made.files.rglob("*") if not path.is_dir())
    lines.append(f"size = {size}")
    lines += [f"{key} = {made.info[old]}" for old, key in ONE_LINE.items() if made.info.get(old)]
    for old, key in LINE_EACH.items():
        lines += [f"{key} = {each}" for each in made.info.get(old, "").split()]
    if made.triggers:
        lines.append(f"triggers = {' '.join(made.triggers)}")
    lines.append(f"datahash = {hashlib.sha256(data).hexdigest()}")
    scripts = {f".{kind}": path.read_bytes() for kind, path in sorted(made.scripts.items())}
    info = {".PKGINFO": "".join(f"{line}\n" for line in lines).encode()}
    return signer.signed(_control(info | scripts)) + data


def write_index(folder: Path, signer: Signer) -> None:
    """Write the index of a folder's packages."""
    unsigned = folder / f".{INDEX}"
    packages = sorted(folder.glob("*.apk"))
    options = ["--allow-untrusted", "--quiet", f"--rewrite-arch={apk.ARCH}", f"--output={unsigned}"]
    apk.apk("index", *options, *packages)
    (folder / INDEX).write_bytes(signer.signed(unsigned.read_bytes()))
    unsigned.unlink()


def write_mirror(
    folder: Path, signer: Signer, main: Iterable[apk.Package], community: Iterable[apk.Package]
) -> None:
    """Write a mirror of one release into a folder."""
    for repository, packages in zip(REPOSITORIES, (main, community), strict=True):
        target = folder / repository / apk.ARCH
        target.mkdir(parents=True)
        for each in packages:
            (target / f"{each.name}-{each.version}.apk").write_bytes(package(each, signer))
        write_index(target, signer)


def full_mirror() -> Mirror:
    """A mirror of all that the offline tree has, made once; as root, for files' owners."""
    name = digest(OFFLINE.key, Path(__file__))
    folder = cached("test-mirror", name, _write_all, title="an Alpine mirror for tests")
    return Mirror(str(folder / "mirror"), str(folder / "keys"))


def _write_all(folder: Path) -> None:
    signer, work = Signer(), folder / "work"
    signer.write_public(folder / "keys")
    main = alpinepackages.alpine_packages(work / "alpine")
    community = debianpackages.debian_packages(work / "debian")
    write_mirror(folder / "mirror", signer, main, community)
    shutil.rmtree(work)


def _control(files: dict[str, bytes]) -> bytes:
    """A gzip stream that another one follows: its archive has no end."""
    packed = io.BytesIO()
    archive = tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
    for name, content in files.items():
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue()[: archive.offset], mtime=0)


def _data(files: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files.rglob("*")):
            entry = archive.gettarinfo(path, str(path.relative_to(files)))
            entry.uname = entry.gname = ""
            entry.mtime = 0  # a fraction would be a header whose name begins like a control file's
            if entry.islnk():  # the cache's, not the package's
                entry.type, entry.size = tarfile.REGTYPE, path.stat().st_size
            content = path.read_bytes() if entry.isreg() else None
            if content is not None or entry.issym():
                told = os.fsencode(entry.linkname) if content is None else content
                sha1 = hashlib.sha1(told).hexdigest()
                entry.pax_headers = {"APK-TOOLS.checksum.SHA1": sha1}
            archive.addfile(entry, None if content is None else io.BytesIO(content))
    return gzip.compress(packed.getvalue(), compresslevel=1, mtime=0)


if __name__ == "__main__":
    _made = full_mirror()
    print(f"lab:alpine {_made.place}\nlab:alpineKeys {_made.keys}")
