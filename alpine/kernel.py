"""The kernel: its command line, its files for booting, the modules of the initramfs.

Owns choosing modules. Leaves compiling to `kernelbuild`, Alpine's to `alpinekernel`, loading
modules to `guest/`, and which ones to the list there.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from alpine.wheel import run_program

# No checks that wake an idle machine, no work for attacks between machines of one owner, and no
# search of 256 PCI buses for AMD's AGP aperture, which are 17,000 exits of a machine's boot.
ARGUMENTS = (
    "console=ttyS0", "quiet", "tsc=nowatchdog", "nowatchdog", "mitigations=off", "pci=noearly"
)  # fmt: skip

INDEX_FILES = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


def modules_folder(root: Path) -> Path:
    """The one `lib/modules/<version>` under `root`."""
    (folder,) = (root / "lib/modules").iterdir()
    return folder


def choose_modules(source: Path, names: Iterable[str], target: Path) -> list[str]:
    """Copy the modules called `names` and all they depend on to `target`.

    Names have dashes or underscores, as modprobe takes both.
    `source` and `target` are `lib/modules/<version>` folders. Returns the paths copied, in
    loading order, without what is in the kernel itself; `depmod` comes next.

    Raises:
        KeyError: there is no module of that name.
    """
    depends = read_depends(source)
    by_name = {module_name(path): path for path in depends}
    itself = {module_name(path) for path in (source / "modules.builtin").read_text().split()}
    wanted: dict[str, None] = {}
    for name in map(module_name, names):
        if name not in itself:
            path = by_name[name]
            wanted |= dict.fromkeys([*reversed(depends[path]), path])
    for path in wanted:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
    return list(wanted)


def copy_index(source: Path, target: Path) -> None:
    """Copy what `depmod` wants to find beside the modules."""
    target.mkdir(parents=True, exist_ok=True)
    for name in INDEX_FILES:
        shutil.copyfile(source / name, target / name)


def depmod(base: Path, version: str) -> None:
    """Write the module indexes of `base/lib/modules/<version>` with the wheel's kmod."""
    run_program("bin/kmod", "-b", base, version, called="depmod")


def read_depends(source: Path) -> dict[str, list[str]]:
    """`modules.dep`: `{module path: paths it needs, nearest first}`."""
    rows = (line.partition(":") for line in (source / "modules.dep").read_text().splitlines())
    return {path: needs.split() for path, _, needs in rows}


def module_name(path: str) -> str:
    """`kernel/fs/fat/vfat.ko` -> `vfat`; dashes become underscores, as modprobe has it."""
    return path.rsplit("/", 1)[-1].split(".ko", maxsplit=1)[0].replace("-", "_")
