"""Alpine's own package tool, run on any Linux, and the key that signs what it makes.

Owns calling `apk` and the signing key. Leaves what goes into a package to `alpinepackages`
and `debianpackages`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from alpine.wheel import run_program, wheel_root
from artefacts import cached

ARCH = "x86_64"
KEY_NAME = "rack.rsa"


@dataclass(frozen=True)
class Package:
    """One package to be made: what `apk mkpkg` is told, and the folder of its files."""

    name: str
    version: str
    files: Path
    info: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, Path] = field(default_factory=dict)
    triggers: Sequence[str] = ()


def apk(*arguments: str | Path) -> str:
    """Run the wheel's apk; nothing is installed on the host."""
    return run_program("sbin/apk", *arguments)


def extract(package: Path, folder: Path) -> None:
    """Lay a package's files into a new folder; who signed it was looked at where it came from."""
    folder.mkdir()
    apk("extract", "--allow-untrusted", "--no-chown", "--destination", folder, package)


def keys_dir() -> Path:
    """A folder with the public signing key, as apk's `--keys-dir` wants it."""
    return _keys() / "public"


def make_package(package: Package, folder: Path) -> Path:
    """Write `<name>-<version>.apk`, signed, into `folder`."""
    target = folder / f"{package.name}-{package.version}.apk"
    info = {"name": package.name, "version": package.version, "arch": ARCH, **package.info}
    argv: list[str | Path] = ["mkpkg", "--root", wheel_root(), "--files", package.files]
    for key, value in info.items():
        if value:
            argv += ["--info", f"{key}:{value}"]
    for kind, script in package.scripts.items():
        argv += ["--script", f"{kind}:{script}"]
    for trigger in package.triggers:
        argv += ["--trigger", trigger]
    apk(*argv, "--compression", "deflate:1", "--sign-key", _private_key(), "--output", target)
    return target


def make_index(folder: Path) -> None:
    """Write the signed `APKINDEX.tar.gz` of all packages in `folder`."""
    index = folder / "APKINDEX.tar.gz"
    packages = sorted(folder.glob("*.apk"))
    key = _private_key()
    # who signed them was looked at where they came from
    apk("mkndx", "--allow-untrusted", "--sign-key", key, "--output", index, *packages)


def _private_key() -> Path:
    return _keys() / KEY_NAME


def _keys() -> Path:
    return cached("alpine-key", KEY_NAME, _new_key, title="signing key")


def _new_key(work: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = work / KEY_NAME
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (work / "public").mkdir()
    (work / "public" / f"{KEY_NAME}.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
