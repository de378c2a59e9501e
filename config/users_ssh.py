"""What the user's own ssh configuration says of a real lab machine.

Owns asking ssh(1) for it, and which of it the stack's configuration takes over. Leaves the text of
that to `access`.
"""

import getpass
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from artefacts import run
from artefacts.environment import users_environment
from config.access import LabMachine

# What a real lab machine's block takes from the user's own configuration where it isn't ssh's
# default: all that decides how it is reached and known; HostName, Port, User and the jumps are told
# apart. Paths are told with "~".
USERS_OWN = (
    "AddKeysToAgent", "AddressFamily", "BindAddress", "BindInterface", "CASignatureAlgorithms",
    "CertificateFile", "CheckHostIP", "Ciphers", "Compression", "ForwardAgent",
    "GlobalKnownHostsFile", "GSSAPIAuthentication", "GSSAPIDelegateCredentials",
    "HostKeyAlgorithms", "HostKeyAlias", "IdentitiesOnly", "IdentityAgent", "IdentityFile",
    "IPQoS", "KexAlgorithms", "KnownHostsCommand", "MACs", "PKCS11Provider",
    "PreferredAuthentications", "ProxyUseFdpass", "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication", "RekeyLimit", "RevokedHostKeys", "SecurityKeyProvider",
    "StrictHostKeyChecking", "UpdateHostKeys", "UserKnownHostsFile", "VerifyHostKeyDNS",
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
    env = users_environment()  # as it is reached, and as the configuration's Match exec reads it
    said, default = (
        run(["ssh", *configuration, "-G", *words, "--", lab.host], env=env).splitlines()
        for configuration in ([], ["-F", "none"])
    )
    return users_own(lab, said, default, getpass.getuser())


def users_own(
    lab: LabMachine, said: Sequence[str], default: Sequence[str], local_user: str
) -> LabMachine:
    """The lab machine with what `ssh -G` said of it.

    `default`: what it says without any configuration; `local_user`: ssh's own default.
    """
    found, ssh_s = _values(said), _values(default)
    single = {key: values[0] for key, values in found.items()}
    user = lab.user or single.get("user", local_user)
    if lab.user is None and user == local_user:
        user = "root"
    wanted = {key.lower(): key for key in USERS_OWN}
    options = [
        (wanted[key], f'"{value}"' if key in PATHS and " " in value else value)
        for key, values in found.items()
        if key in wanted and values != ssh_s.get(key)
        for value in values
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
    known_as = single.get("hostkeyalias", str(lab.host))
    options = [(key, _named(value, str(lab.host), known_as)) for key, value in options]
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


def _values(said: Sequence[str]) -> dict[str, list[str]]:
    """All values by their key, which `ssh -G` writes in lower case but for some."""
    found: dict[str, list[str]] = {}
    for line in said:
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value)
    return found


def _named(value: str, host: str, known_as: str) -> str:
    """A value whose tokens %n and %k, which ssh makes of another name here, are put in."""
    tokens = {"%n": host, "%k": known_as}
    return re.sub("%[%nk]", lambda found: tokens.get(found[0], found[0]), value)
