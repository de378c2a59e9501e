"""Compiling the kernel from Debian's source with `kernel.config`, once per change of either.

Owns the recipe. Leaves what becomes of the result to `kernel`. Why not a distribution's kernel:
docs/decisions/0004-kernel.md.
"""

import os
import shutil
from pathlib import Path

from alpine import kernel
from alpine.debian import fetch_debs, kernel_package
from artefacts import cached, digest, run

# What `make savedefconfig` makes of its configuration, in the kernel's source.
CONFIG = Path(__file__).parent / "kernel.config"
TICKS = 25  # a second; the menu begins with 100 (docs/decisions/0004-kernel.md)
HINT = "the compiler's last words are above; setup.sh installs what it needs"


def kernel_key() -> str:
    """The kernel's name, known without building it."""
    return digest(kernel_package().sha256, CONFIG, Path(__file__))


def kernel_root() -> Path:
    """A folder with `boot/vmlinuz`, `boot/vmlinux` and `lib/modules/<version>` with its indexes."""
    title = "compiling the kernel (ten minutes and more, once)"
    return cached("kernel", kernel_key(), _build, title=title)


def _build(work: Path) -> None:
    source = work / "source"
    run(["dpkg-deb", "-x", fetch_debs() / f"{kernel_package().name}.deb", work / "deb"])
    (archive,) = (work / "deb/usr/src").glob("linux-source-*.tar.xz")
    source.mkdir()
    run(["tar", "-xJf", archive, "--strip-components=1", "-C", source])
    _set_ticks(source / "kernel/Kconfig.hz")
    shutil.copyfile(CONFIG, source / ".config")
    cores = len(os.sched_getaffinity(0))
    make: list[str | Path] = ["make", "-s", "-C", source, f"-j{cores}"]
    run([*make, "olddefconfig"], hint=HINT)
    run([*make, "bzImage", "modules"], hint=HINT)
    run([*make, "modules_install", f"INSTALL_MOD_PATH={work}", "DEPMOD=true"], hint=HINT)
    (work / "boot").mkdir()
    shutil.copyfile(source / "arch/x86/boot/bzImage", work / "boot/vmlinuz")
    run(["objcopy", "--strip-all", source / "vmlinux", work / "boot/vmlinux"])
    for link in ("build", "source"):
        (kernel.modules_folder(work) / link).unlink()
    for folder in (source, work / "deb"):
        shutil.rmtree(folder)
    kernel.depmod(work, kernel.modules_folder(work).name)


def _set_ticks(menu: Path) -> None:
    """Let the configuration's HZ_100 mean TICKS."""
    text = menu.read_text()
    wanted = "default 100 if HZ_100"
    if text.count(wanted) != 1:
        raise ValueError(f"{menu.name} of this kernel has no '{wanted}'; TICKS can't be set")
    menu.write_text(text.replace(wanted, f"default {TICKS} if HZ_100"))
