"""Carrying boot files, images and overlays to the boot server.

Owns the transport and doing nothing where the boot server has it already. Leaves building to
`alpine/` and the boot tree's rules to guest/roles/boot-server.
"""

import fcntl
import hashlib
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alpine import boottree, image, stick
from alpine.release import chosen
from artefacts import LabError, run, step
from config import access, addressing, names
from config.errors import ConfigError, Problem
from config.settings import Settings
from config.topology import BootServer
from guest import consul
from lab.remote import VIRSH, ask, on_lab_machine, patiently, reachable

CONSUL_STATE, CONSUL_STATE_SIZE = "consul.ext4", "64M"  # guest/roles/founder mounts it
BLOCK = 1 << 20
# The entries of all machines are set at once, each by a connection of its own if none is there yet:
# where all is emulated, a dozen handshakes take longer than ssh waits for one. So it tries twice.
BUSY_S = 2.0 * access.CONNECT_TIMEOUT_S
MOVES = " init_on_free=1"  # of free memory, zeros then, qemu's migration sends some bytes a page


def _on_boot_server(
    settings: Settings, command: Sequence[str], *, stdin: bytes = b"", patience_s: float = BUSY_S
) -> str:
    """What a command says on the boot server; with a control plane any of its servers will do.

    All of them can be run twice: where the connection is lost, or isn't had, it is run again,
    on whichever can be reached then.

    Raises:
        LabError: it fails, or none of them can be reached.
    """

    def once() -> str:
        *others, last = settings.topology.boot_servers
        server = next((each for each in others if reachable(settings, each)), last)
        return ask(settings, server, command, stdin=stdin)

    return patiently(patience_s, lost=True)(once)


def publish_common(settings: Settings, key: str) -> None:
    """Put what every boot tree has on the boot server, where it differs.

    Raises:
        LabError: when `key` isn't what the sources make now.
    """
    release = chosen(settings.mirror, settings.profile.kernel)
    _planned(settings, "boot files", key, boottree.common_key(release))
    for target, source in boottree.common_files(release).items():
        if target.startswith("images/"):
            continue
        sha256 = run(["sha256sum", source]).split()[0]
        if _on_boot_server(settings, ["boot-file", "check", target, sha256]).strip() != "there":
            with step(f"{target} to the boot server"):
                put = ["boot-file", "put", target, sha256]
                _on_boot_server(settings, put, stdin=source.read_bytes())
    _publish(settings, boottree.QUARANTINE, boottree.QUARANTINE)


def publish_image(settings: Settings, role: str, key: str) -> None:
    """Build a role's image if need be and put it on the boot server.

    Raises:
        LabError: when `key` isn't what the sources make now.
    """
    _known_role(settings, role)
    _planned(settings, f"image {role}", key, _image_key(settings, role))
    _publish(settings, role, key)


def _known_role(settings: Settings, role: str) -> None:
    roles = {machine.role for machine in settings.topology.machines.values()}
    if role not in roles:
        rule = f"one of: {', '.join(sorted(roles))}"
        raise ConfigError("lab publish", [Problem("role", role, rule, "name one of these")])


def _publish(settings: Settings, role: str, key: str) -> None:
    extra = () if role == boottree.QUARANTINE else consul.image_folders(settings.topology)
    built = image.role_image(role, extra, chosen(settings.mirror, settings.profile.kernel))
    with _one_by_one(settings), step(f"image {role} to the boot server"):
        whole, content = ["boot-image", "list", key], built.list.read_bytes()
        lacks = _on_boot_server(settings, whole, stdin=content).split()
        if lacks:
            # What this run doesn't name may go: the servers' memory has no room for it.
            wanted = [boottree.QUARANTINE, *_image_keys(settings).values()]
            _on_boot_server(settings, ["boot-image", "prune", *wanted])
            lacks = _on_boot_server(settings, whole, stdin=content).split()
        for layer, sum_and_name in zip(
            built.layers, built.list.read_text().splitlines(), strict=True
        ):
            if layer.name in lacks:
                put = ["boot-image", "put", layer.name, sum_and_name.split()[0]]
                _on_boot_server(settings, put, stdin=layer.read_bytes())
        if lacks and (gone := _on_boot_server(settings, whole, stdin=content)):
            raise LabError(
                f"image {role}: the boot server lost {' '.join(gone.split())} again; "
                f"to look: lab --stack {settings.stack} ssh {settings.topology.boot_servers[0]}"
            )


def _image_keys(settings: Settings) -> dict[str, str]:
    """The key of each role's image, by role."""
    roles = {machine.role for machine in settings.topology.machines.values()}
    return {role: _image_key(settings, role) for role in sorted(roles)}


def _image_key(settings: Settings, role: str) -> str:
    extra = consul.image_folders(settings.topology)
    return image.image_key(role, extra, chosen(settings.mirror, settings.profile.kernel))


@contextmanager
def _one_by_one(settings: Settings) -> Iterator[None]:
    """Images share layers: the next one finds them there, instead of bringing them as well."""
    with (settings.folder / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def publish_entry(settings: Settings, name: str, key: str, sha256: str) -> None:
    """Put a machine's overlay on the boot server and point its boot.env at image and overlay."""
    mac = addressing.boot_mac(settings.stack, settings.topology, name)
    content = settings.overlay_file(name, sha256).read_bytes()
    _on_boot_server(settings, ["boot-entry", "set", mac, key, sha256], stdin=content)
    settings.drop_overlays(name, sha256)


def unpublish_entry(settings: Settings, mac: str) -> None:
    """Remove a machine's entry; it boots the quarantine image from then on.

    A boot server that is gone isn't waited for: a destroy asks it once per machine.
    """
    _on_boot_server(settings, ["boot-entry", "remove", mac], patience_s=0)


def commit(settings: Settings, name: str) -> str:
    """Keep on the boot server what was changed on a machine since its overlay; its sha256."""
    mac = addressing.boot_mac(settings.stack, settings.topology, name)
    with tempfile.TemporaryDirectory() as work:
        changed = Path(work) / "commit.tar.gz"
        ask(settings, name, ["rack-commit", "pack"], output=changed)
        content = changed.read_bytes()
    _on_boot_server(settings, ["boot-entry", "commit", mac], stdin=content)
    return hashlib.sha256(content).hexdigest()


def committed(settings: Settings, name: str) -> str:
    """The sha256 of what lies over a machine's overlay since a commit; "" for nothing."""
    mac = addressing.boot_mac(settings.stack, settings.topology, name)
    said = _on_boot_server(settings, ["boot-entry", "show", mac])
    entry = dict(line.split("=", 1) for line in said.splitlines())
    return entry.get("commit_sha256", "")


def write_stick(settings: Settings, name: str, device: str) -> None:
    """Make the laptop's USB stick and write it to a device of the lab machine.

    Raises:
        ConfigError: it is no boot server, or no `up` has kept its overlay.
        LabError: it runs from that device.
    """
    if name not in settings.topology.of(BootServer):
        rule = f"one of: {', '.join(settings.topology.of(BootServer))}"
        raise ConfigError("lab publish", [Problem("stick", name, rule, "name one of these")])
    mac = addressing.boot_mac(settings.stack, settings.topology, name)
    _idle_stick(settings, name, device)
    keys, extra = _image_keys(settings), consul.image_folders(settings.topology)
    release = chosen(settings.mirror, settings.profile.kernel)
    files = boottree.common_files(release)
    for role, key in keys.items():  # all go in one copy; one by one over ssh takes minutes
        files |= boottree.image_files(role, key, extra, release)
    with tempfile.TemporaryDirectory() as work:
        sha256, overlay = settings.newest_overlay(name)
        folder = f"machines/{mac}"
        entry = Path(work) / "boot.env"
        entry.write_text(
            f"image=/images/{keys[settings.machine(name).role]}.layers\n"
            f"overlay=/{folder}/{overlay.name}\noverlay_sha256={sha256}\n"
        )
        files |= {f"{folder}/boot.env": entry, f"{folder}/{overlay.name}": overlay}
        if settings.topology.founder:
            state = Path(work) / CONSUL_STATE
            run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", state, CONSUL_STATE_SIZE])
            os.truncate(state, state.stat().st_size + BLOCK)  # room for md's superblock
            files[CONSUL_STATE] = state
        disk = Path(work) / "stick"
        size = settings.topology.of(BootServer)[name].stick
        with step("writing the USB stick"):
            moves = name in settings.topology.moves
            line = stick.COMMAND_LINE + (MOVES if moves else "")
            stick.write_stick(disk, files, size_bytes=size, machine=mac, command_line=line)
            _write_device(settings, disk, device)


# What runs from a stick has read half of the old one when a new one is written over it.
IN_USE = f"""
{VIRSH} list --name --state-running | grep -qx "$1" || exit 0
! {VIRSH} domblklist "$1" | grep -qF "$2" || echo used
"""


def _idle_stick(settings: Settings, name: str, device: str) -> None:
    domain = names.domain(settings.stack, name)
    words = ["sh", "-euc", IN_USE, "in-use", domain, device]
    if ask(settings, access.LAB_MACHINE, words).strip():
        raise LabError(
            f"{name} runs from {device}, so nothing is written to it. If the stack is to be raised "
            f"anew: pulumi destroy --stack {settings.stack}, then pulumi up. If Pulumi's state of "
            f"it is lost: lab --stack {settings.stack} clear"
        )


def _write_device(settings: Settings, disk: Path, device: str) -> None:
    """Copy up to the last written byte: behind it a FAT file system has only free space."""
    with disk.open("rb") as source:
        end = _data_end(source.fileno())
        content = source.read(end)
    command = f"dd of={shlex.quote(device)} bs=1M iflag=fullblock conv=fsync status=none"
    on_lab_machine(settings, command, stdin=content)


def _data_end(file: int) -> int:
    """The offset behind a sparse file's last data, rounded up to 1 MiB."""
    end = position = 0
    while True:
        try:
            position = os.lseek(file, os.lseek(file, position, os.SEEK_DATA), os.SEEK_HOLE)
        except OSError:  # ENXIO: no data behind this
            os.lseek(file, 0, os.SEEK_SET)
            return -(-end // BLOCK) * BLOCK
        end = position


def _planned(settings: Settings, what: str, key: str, now: str) -> None:
    if key != now:
        raise LabError(
            f"{what}: {key} was planned, the sources make {now}; "
            f"run it again: pulumi up --stack {settings.stack}"
        )
