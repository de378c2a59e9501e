"""The release tree: an Alpine mirror's folder layout, of packages from a mirror or built offline.

Owns the tree: `main/x86_64` (signed packages and index) and `netboot/` (kernel), and which of the
two ways it comes about. Everything above asks for packages by the names they have at an official
mirror; where Debian's differ the offline tree's packages provide both, so nothing above knows how
the tree came to be. Leaves images to `image`.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from alpine import alpinepackages, apk, debian, debianpackages, elf, kernel, kernelbuild, wheel
from alpine import mirror as mirrors
from artefacts import cached, digest, run, step
from config.mirror import Mirror

ARCH_FOLDER = f"main/{apk.ARCH}"


@dataclass(frozen=True)
class Release:
    """Where the packages are from: the mirror whose versions are locked, or else built offline."""

    mirror: Mirror | None = None

    @property
    def key(self) -> str:
        """The tree's name, known without building it: what goes in, and the code that does it."""
        modules = [apk, kernel, wheel]
        made = [wheel.SHA256, kernelbuild.kernel_key()]
        if self.mirror:
            return digest("mirror", mirrors.lock_key(), Path(__file__), *_code(modules), *made)
        modules += [alpinepackages, debian, debianpackages, elf]
        debians = (debian.lock().key, debian.REQUESTS, debian.DROPS, debianpackages.ADDITIONS)
        return digest(Path(__file__), *_code(modules), *made, *debians)

    @property
    def tree(self) -> Path:
        """The release tree's folder, built if it is not in the cache (about a minute)."""
        title = "Alpine release tree"
        # packages that are made have their files' owners in them
        module = "" if self.mirror else "alpine.release"
        return cached("release", self.key, self._build, title=title, module=module)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of `guest/` that every image of the release has."""
        return ("apk",) if self.mirror else ()

    def _build(self, tree: Path) -> None:
        packages = tree / ARCH_FOLDER
        packages.mkdir(parents=True)
        if self.mirror:
            for package in mirrors.packages(self.mirror).iterdir():
                (packages / package.name).hardlink_to(package)
        else:
            _make_packages(packages, tree / "work")
        with step("index and kernel"):
            apk.make_index(packages)
            kernel.netboot(kernelbuild.kernel_root(), tree / "netboot")


OFFLINE = Release()


def chosen(mirror: Mirror | None) -> Release:
    """The release of a stack with this mirror, or without one.

    The lock decides: without it no mirror was ever reached, and the offline tree is the fallback.
    It looks for no mirror, so it gives the same while one is out of reach.
    """
    return Release(mirror) if mirrors.LOCK.exists() else OFFLINE


def repository(tree: Path) -> str:
    """What apk's `--repository` wants for `tree`."""
    return str(tree / "main")


def _code(modules: list[ModuleType]) -> list[Path]:
    return [Path(module.__file__ or "") for module in modules]


def _make_packages(packages: Path, work: Path) -> None:
    with step("Alpine's packages"):
        for package in alpinepackages.alpine_packages(work / "alpine"):
            apk.make_package(package, packages)
    with step("Debian's packages"):
        for package in debianpackages.debian_packages(work / "debian"):
            apk.make_package(package, packages)
    run(["rm", "-rf", work])


if __name__ == "__main__":
    print(OFFLINE.tree)
