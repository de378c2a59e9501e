"""What the user's own ssh configuration says of a real lab machine.

Owns asking ssh(1) for it, and which of it the stack's configuration takes over. Leaves the text of
that to `access`.
"""

import getpass
import shlex
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from artefacts import run
from config.access import LabMachine

# What a real lab machine's block takes from the user's own configuration, as `ssh -G` names it;
# HostName, Port, User and the jumps are told apart. Paths are told with "~".
USERS_OWN = (
    "AddKeysToAgent", "CertificateFile", "CheckHostIP", "ForwardAgent", "GlobalKnownHostsFile",
    "HostKeyAlias", "IdentitiesOnly", "IdentityAgent", "IdentityFile", "PKCS11Provider",
    "StrictHostKeyChecking", "UserKnownHostsFile",
)  # fmt: skip
PATHS = ("certificatefile", "identityagent", "identityfile")  # one path each: quoted for a blank


def resolved(lab: LabMachine) -> LabMachine:
    """A real lab machine as the user's own ssh configuration has it; contacts nothing.

    ssh(1) itself reads that: `ssh -G` prints what counts for a host. The user is what `lab:machine`
    says, else what the configuration says, else root.
    """
    if lab.host is None or lab.identity:
        return lab
    words = ["-p", str(lab.port)] if lab.port else []
    words += ["-l", lab.user] if lab.user else []
    said = run(["ssh", "-G", *words, "--", lab.host])
    return users_own(lab, said.splitlines(), getpass.getuser())


def users_own(lab: LabMachine, said: Sequence[str], local_user: str) -> LabMachine:
    """The lab machine with what `ssh -G` said of it; `local_user` is ssh's own default."""
    found = [(key.lower(), value) for key, _, value in (line.partition(" ") for line in said)]
    single = dict(reversed(found))
    user = lab.user or single.get("user", local_user)
    if lab.user is None and user == local_user:
        user = "root"
    wanted = {key.lower(): key for key in USERS_OWN}
    options = [
        (wanted[key], f'"{value}"' if key in PATHS and " " in value else value)
        for key, value in found
        if key in wanted and value != "none"
    ]
    proxy = single.get("proxycommand", "none")
    jump = single.get("proxyjump", "none")
    if jump != "none":
        # Its hosts are names of the user's configuration, which isn't this one.
        *before, last = jump.split(",")
        through = ["-J", ",".join(before)] if before else []
        proxy = shlex.join(["ssh", *through, "-W", "[%h]:%p", *_destination(last)])
    if proxy != "none":
        options.append(("ProxyCommand", proxy))
    host = single.get("hostname", lab.host)
    return replace(
        lab, host=host, port=int(single.get("port", "22")), user=user, options=tuple(options)
    )


def _destination(jump: str) -> list[str]:
    """The words of ssh for a hop of ProxyJump: [user@]host[:port], or an ssh:// URI."""
    bare = jump.removeprefix("ssh://")
    user, _, place = bare.rpartition("@")
    parts = urlsplit(f"ssh://{place}")
    words = ["-p", str(parts.port)] if parts.port else []
    host = parts.hostname or place
    return [*words, f"{user}@{host}" if user else host]
