"""The release tree: an Alpine mirror's folder layout, built offline.

Owns `main/x86_64` (signed packages and index) and `netboot/` (kernel). Everything above asks for
packages by the names they have at an official mirror, where they differ from Debian's the
packages provide both, so nothing above knows how the tree came to be. Leaves images to `image`.
"""

from pathlib import Path

from alpine import alpinepackages, apk, debian, debianpackages, elf, kernel, kernelbuild, wheel
from artefacts import cached, digest, run, step

ARCH_FOLDER = f"main/{apk.ARCH}"


def release_key() -> str:
    """The tree's name, known without building it: the pinned inputs and the code that converts."""
    modules = (alpinepackages, apk, debian, debianpackages, elf, kernel, wheel)
    code = [Path(module.__file__ or "") for module in modules]
    debians = (debian.lock().key, debian.REQUESTS, debian.DROPS, debianpackages.ADDITIONS)
    return digest(wheel.SHA256, Path(__file__), *code, *debians, kernelbuild.kernel_key())


def release_tree() -> Path:
    """The release tree's folder, built if it is not in the cache (about a minute)."""
    title = "Alpine release tree"
    return cached("release", release_key(), _build, title=title, module="alpine.release")


def repository(tree: Path) -> str:
    """What apk's `--repository` wants for `tree`."""
    return str(tree / "main")


def _build(tree: Path) -> None:
    packages = tree / ARCH_FOLDER
    packages.mkdir(parents=True)
    work = tree / "work"
    with step("Alpine's packages"):
        for package in alpinepackages.alpine_packages(work / "alpine"):
            apk.make_package(package, packages)
    with step("Debian's packages"):
        for package in debianpackages.debian_packages(work / "debian"):
            apk.make_package(package, packages)
    with step("index and kernel"):
        apk.make_index(packages)
        kernel.netboot(kernelbuild.kernel_root(), tree / "netboot")
    run(["rm", "-rf", work])


if __name__ == "__main__":
    release_tree()
