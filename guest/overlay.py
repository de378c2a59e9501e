"""The overlay: what makes one machine different from another of its role.

Owns the archive: its files, modes, runlevel links, and that equal inputs give equal bytes.
Leaves the texts to `network` and `settings`, programs and services to the role images.
"""

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from config.topology import Topology
from guest import consul, network, rolefiles, settings

BOOT_SERVICES = ("hostname", "networking")
FOLDER_MODE, FILE_MODE, SECRET_MODE, SECRET_FOLDER_MODE, LINK_MODE = (
    0o755,
    0o644,
    0o600,
    0o700,
    0o777,
)


@dataclass(frozen=True)
class MachineKeys:
    """A machine's ssh host key (PEM, a secret) and the public key its root accepts.

    `files`: other secrets, text by path.
    """

    host_key: str = field(repr=False)
    authorized_key: str
    files: Mapping[str, str] = field(default_factory=dict, repr=False)


def overlay(stack: str, topology: Topology, name: str, keys: MachineKeys) -> bytes:
    """A machine's overlay as a tar.gz; the same bytes for the same arguments."""
    return _archive([*_files(stack, topology, name), *_secrets(keys), *_links(topology, name)])


@dataclass(frozen=True)
class _Entry:
    path: str
    mode: int
    content: bytes = b""
    link: str = ""


def _files(stack: str, topology: Topology, name: str) -> list[_Entry]:
    texts = {
        "etc/chrony/chrony.conf": network.chrony(topology),
        "etc/hostname": f"{name}\n",
        "etc/hosts": network.hosts(topology),
        "etc/network/interfaces": network.interfaces(stack, topology, name),
        **settings.files(stack, topology, name),
    }
    return [_Entry(path, FILE_MODE, text.encode()) for path, text in texts.items()]


def _secrets(keys: MachineKeys) -> list[_Entry]:
    authorized = f"{keys.authorized_key.strip()}\n".encode()
    host_key = f"{keys.host_key.strip()}\n".encode()
    return [
        _Entry("etc/ssh/ssh_host_ecdsa_key", SECRET_MODE, host_key),
        _Entry("root/.ssh/authorized_keys", SECRET_MODE, authorized),
        *(_Entry(path, SECRET_MODE, text.encode()) for path, text in keys.files.items()),
    ]


def _links(topology: Topology, name: str) -> list[_Entry]:
    extra = consul.image_folders(topology)
    default = ("chronyd", "sshd", *rolefiles.services(topology.machines[name].role, extra))
    levels = {"boot": BOOT_SERVICES, "default": default}
    return [
        _Entry(f"etc/runlevels/{level}/{service}", LINK_MODE, link=f"/etc/init.d/{service}")
        for level, services in levels.items()
        for service in services
    ]


def _archive(entries: list[_Entry]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in _folders(entries):
            archive.addfile(_info(folder, _folder_mode(folder), tarfile.DIRTYPE))
        for entry in sorted(entries, key=lambda each: each.path):
            info = _info(entry.path, entry.mode, tarfile.SYMTYPE if entry.link else tarfile.REGTYPE)
            info.linkname, info.size = entry.link, len(entry.content)
            archive.addfile(info, io.BytesIO(entry.content))
    return gzip.compress(plain.getvalue(), mtime=0)


def _info(path: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.type, info.uname, info.gname = mode, kind, "root", "root"
    return info


def _folders(entries: list[_Entry]) -> list[str]:
    parts = [entry.path.split("/")[:-1] for entry in entries]
    return sorted({"/".join(each[: n + 1]) for each in parts for n in range(len(each))})


def _folder_mode(folder: str) -> int:
    return SECRET_FOLDER_MODE if folder.startswith("root") else FOLDER_MODE
