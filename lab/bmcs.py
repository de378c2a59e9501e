"""The servers' BMCs: VirtualBMC's settings on the lab machine.

Owns these files' content and putting them there; they hold passwords, so they are neither an
input of a resource nor an argument of a command. Leaves running VirtualBMC to `equipment`.
"""

import hashlib
import io
import tarfile

from config import addressing, names
from config.settings import BMC_USER, Settings
from config.topology import Server
from lab.remote import on_lab_machine

CONFIG_FILE = "virtualbmc.conf"
# VirtualBMC starts what is new by itself, but a changed one only when it is started again.
PUT = """
umask 077
fresh=$(mktemp -d "/var/lib/{name}.XXXXXX")
tar -xC "$fresh"
if diff -r "$fresh" "/var/lib/{name}" >/dev/null 2>&1; then
    rm -rf "$fresh"
else
    rm -rf "/var/lib/{name}"
    mv "$fresh" "/var/lib/{name}"
    ! systemctl --quiet is-active "{name}" || systemctl restart "{name}"
fi
"""


def files(settings: Settings) -> dict[str, str]:
    """VirtualBMC's settings by path in its folder: one file a BMC, and its own."""
    name = names.bmcs(settings.stack)
    folder = f"/var/lib/{name}"
    # In the folder that systemd makes anew for each start (equipment/station.sh): a pid file for
    # all stacks would let only one of them have BMCs, and one that was left would stop the next.
    found = {CONFIG_FILE: _ini("default", config_dir=folder, pid_file=f"/run/{name}/vbmcd.pid")}
    for machine, server in settings.topology.of(Server).items():
        domain = names.domain(settings.stack, machine)
        found[f"{domain}/config"] = _ini(
            "VirtualBMC",
            username=BMC_USER,
            password=settings.bmc_password(machine),
            address=addressing.bmc(settings.topology, server).ip,
            port=623,
            domain_name=domain,
            libvirt_uri="qemu:///system",
            active=True,
        )
    return found


def version(settings: Settings) -> str:
    """What changes when they do; tells nothing of the passwords."""
    return hashlib.sha256(repr(sorted(files(settings).items())).encode()).hexdigest()


def publish(settings: Settings) -> None:
    """Put them on the lab machine, readable by root alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files(settings).items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), 0o600
            archive.addfile(entry, io.BytesIO(text.encode()))
    script = PUT.format(name=names.bmcs(settings.stack))
    on_lab_machine(settings, script, stdin=packed.getvalue())


def _ini(section: str, **values: object) -> str:
    return "".join([f"[{section}]\n", *(f"{key} = {value}\n" for key, value in values.items())])
