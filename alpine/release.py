"""The release tree: an Alpine mirror's folder layout, of packages from a mirror or built offline.

Owns the tree, `main/x86_64` (signed packages and index), which of the two ways it comes about, and
which kernel goes with it. Everything above asks for packages by the names they have at an official
mirror; where Debian's differ the offline tree's packages provide both, so nothing above knows how
the tree came to be. Leaves images to `image`, and either kernel to its module.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from alpine import (
    alpinekernel,
    alpinepackages,
    apk,
    debian,
    debianpackages,
    elf,
    kernelbuild,
    wheel,
)
from alpine import mirror as mirrors
from artefacts import cached, digest, run, step
from config.mirror import Mirror
from config.profile import Kernel

ARCH_FOLDER = f"main/{apk.ARCH}"
LBU = "alpine-conf"
"""The package with Alpine's lbu, and the folder of `guest/` with it; `lbu` stands in for it."""


@dataclass(frozen=True)
class Release:
    """Where the packages are from, and the kernel that machines of them have.

    `mirror`: the one whose versions are locked, or else they are built offline.
    """

    mirror: Mirror | None = None
    kernel: Kernel = Kernel.RACK

    @property
    def key(self) -> str:
        """The name of packages and kernel, known without building them."""
        return digest(self._tree_key, self._kernel_key)

    @property
    def tree(self) -> Path:
        """The release tree's folder, built if it is not in the cache (about a minute)."""
        title = "Alpine release tree"
        # packages that are made have their files' owners in them
        module = "" if self.mirror else "alpine.release"
        return cached("release", self._tree_key, self._build, title=title, module=module)

    @property
    def kernel_root(self) -> Path:
        """A folder with `boot/vmlinuz`, `boot/vmlinux` (an ELF file with a PVH entry), and
        `lib/modules/<version>` with its indexes.
        """
        if self.kernel == Kernel.RACK:
            return kernelbuild.kernel_root()
        return alpinekernel.kernel_root(self.tree / ARCH_FOLDER, self._tree_key)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of `guest/` that every image of the release has."""
        if not self.mirror:
            return ("lbu",)
        return ("apk", LBU if mirrors.is_locked(LBU) else "lbu")

    @property
    def _tree_key(self) -> str:
        modules = [apk, wheel]
        if self.mirror:
            return digest("mirror", mirrors.lock_key(), Path(__file__), *_code(modules))
        modules += [alpinepackages, debian, debianpackages, elf]
        debians = (debian.lock().key, debian.REQUESTS, debian.DROPS, debianpackages.ADDITIONS)
        return digest(wheel.SHA256, Path(__file__), *_code(modules), *debians)

    @property
    def _kernel_key(self) -> str:
        if self.kernel == Kernel.RACK:
            return kernelbuild.kernel_key()
        return alpinekernel.kernel_key(self._tree_key)

    def _build(self, tree: Path) -> None:
        packages = tree / ARCH_FOLDER
        packages.mkdir(parents=True)
        if self.mirror:
            for package in mirrors.packages(self.mirror).iterdir():
                (packages / package.name).hardlink_to(package)
        else:
            _make_packages(packages, tree / "work")
        with step("index"):
            apk.make_index(packages)


OFFLINE = Release()


def chosen(mirror: Mirror | None, kernel: Kernel = Kernel.RACK) -> Release:
    """The release of a stack with this mirror, or without one, and with this kernel.

    The lock decides: without it no mirror was ever reached, and the offline tree is the fallback.
    It looks for no mirror, so it gives the same while one is out of reach.

    Raises:
        ConfigError: the mirror is of another release than what is locked.
    """
    if not (mirror and mirrors.LOCK.exists()):
        return Release(None, kernel)
    mirrors.require_release(mirror)
    return Release(mirror, kernel)


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
