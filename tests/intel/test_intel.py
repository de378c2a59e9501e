"""Intel: this project's kernels and CPU models, four levels deep on an emulated VMX.

`make test-intel` (5 min). Level 0 is the user's machine, 1 the virtual lab machine, 2 a node, 3 a
guest. Each is started by what this project gives it: `labmachine.qemu` the lab machine, the profile
kvm the other two. On a real lab machine the same node is level 1.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from bochs import boot

from alpine import kernel, kernelbuild
from alpine.image import role_image
from alpine.initramfs import busybox
from alpine.stick import write_stick
from artefacts import run
from config.labmachine import load_labmachine
from config.profile import KVM, Cpu
from labmachine.image import machine_image
from labmachine.qemu import machine_argv
from labmachine.state import State

pytestmark = [pytest.mark.intel, pytest.mark.timeout(3600)]

HERE = Path(__file__).parent
DEADLINE_S = 3000.0
KVM_MODULES = ("kvm-intel",)
BOARD = "pc"  # of nodes and guests, components/machine.py
KERNEL_LINE = "console=ttyS0 tsc=nowatchdog nowatchdog mitigations=off nokaslr quiet panic=-1"
APPLETS = (
    "sh", "mount", "sed", "head", "uname", "grep", "cat", "mkdir", "cp", "chroot", "insmod",
    "sleep", "poweroff",
)  # fmt: skip
DISK_MODULES = ("virtio_pci", "virtio_blk", "squashfs", "loop")


def test_nodes_and_guests_run_on_vmx(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    _write(tmp_path, disk)
    said = boot(tmp_path, disk, DEADLINE_S, "== level 0: done")
    for level, vmx in ((0, "yes"), (1, "yes"), (2, "yes"), (3, "no")):
        assert f"== level {level}: vmx {vmx}" in said
    for level in (0, 1, 2):
        assert f"== level {level}: nested Y" in said
        assert f"== level {level}: the next ended with 0" in said
    assert "== level 2: Westmere" in said
    assert "== level 3: Westmere" in said
    # a guest has no VMX, so KVM's module doesn't load there, and there alone
    wrong = [line for line in said.splitlines() if "failed" in line]
    assert wrong == ["== level 3: insmod /kvm-intel.ko failed"]


def _write(folder: Path, disk: Path) -> None:
    """A disk from which level 0 boots, with all that the others boot in its initramfs."""
    rack, lab = kernelbuild.kernel_root(), machine_image()
    labs = folder / "lab"
    (labs / "lib").mkdir(parents=True)
    run(["debugfs", "-R", f"rdump /usr/lib/modules {labs}/lib", lab.disk])
    root = folder / "fs"
    for layer in role_image("compute").layers:
        run(["unsquashfs", "-quiet", "-no-progress", "-force", "-dest", root, layer])
    for each in ("mnt", "dev", "proc", "sys", "tmp", "run", "boot"):
        (root / each).mkdir(exist_ok=True)
    shutil.copyfile(lab.kernel, root / "boot/lab")
    shutil.copyfile(rack / "boot/vmlinux", root / "boot/rack")
    argv = machine_argv(load_labmachine(), lab, State(folder / "machine"), "kvm")
    lab_cpu, lab_board = (argv[argv.index(each) + 1] for each in ("-cpu", "-machine"))
    levels = (
        (1, 1280, lab_board, lab_cpu, "/boot/lab", "/boot/lab.cpio"),
        (2, 640, BOARD, _qemus(KVM.node_cpu), "/boot/rack", "/boot/rack.cpio"),
        (3, 192, BOARD, _qemus(KVM.guest_cpu), "/boot/rack", "/boot/rack.cpio"),
    )
    (root / "boot/lab.cpio").write_bytes(_initramfs(folder, labs, levels, DISK_MODULES))
    (root / "boot/rack.cpio").write_bytes(_initramfs(folder, rack, levels))
    fs, whole = folder / "fs.squashfs", folder / "initramfs"
    run(["mksquashfs", root, fs, "-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress"])
    whole.write_bytes(_initramfs(folder, rack, levels, fs=fs))
    write_stick(
        disk, {"boot/vmlinuz": rack / "boot/vmlinuz", "boot/initramfs": whole}, machine="none",
        size_bytes=512 << 20, command_line=f"{KERNEL_LINE} level=0",
    )  # fmt: skip


def _qemus(cpu: Cpu) -> str:
    """A CPU as an argument of qemu, which leaves out with a warning what the host lacks."""
    return ",".join([cpu.model, *(f"{name}=on" for name, _ in cpu.features)])


def _initramfs(
    folder: Path, root: Path, levels: Sequence[tuple[object, ...]], more: Sequence[str] = (),
    fs: Path | None = None,
) -> bytes:  # fmt: skip
    """What a level boots: busybox, the modules that its kernel has of those wanted, `init`."""
    archive = busybox(("bin", "dev", "lib", "mnt", "proc", "sys"), APPLETS)
    archive.file("init", (HERE / "init").read_bytes(), executable=True)
    source, target = kernel.modules_folder(root), folder / f"modules-{root.name}-{len(more)}"
    shutil.rmtree(target, ignore_errors=True)
    has = {kernel.module_name(path) for path in kernel.read_depends(source)}
    wanted = [each for each in (*more, *KVM_MODULES) if kernel.module_name(each) in has]
    files = kernel.choose_modules(source, wanted, target)
    for path in files:
        archive.file(Path(path).name, (target / path).read_bytes())
    archive.file("modules", "".join(f"/{Path(each).name}\n" for each in files).encode())
    text = "".join(f"{' '.join(map(str, each))}\n" for each in levels)
    archive.file("levels", text.encode())
    if fs:
        archive.file("fs", fs.read_bytes())
    return archive.content()
