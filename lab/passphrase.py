"""Whether the user's passphrase is the one a stack was made with, asked when Pulumi has failed.

Owns that check, half a second of computing, and the remedy that Pulumi doesn't tell. Leaves
encryption to Pulumi: `encryptionsalt` in a settings file is "v1:SALT:" and a known text encrypted
with the passphrase's key (pulumi, sdk/go/common/resource/config/crypt.go: PBKDF2 with SHA-256,
AES-256-GCM).
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config import stacks
from config.errors import ConfigError, Problem
from config.load import read_yaml

ROUNDS, KEY_BYTES = 1_000_000, 32
GIVEN, GIVEN_FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def check(stack: str, environment: Mapping[str, str]) -> None:
    """Refuse a passphrase that doesn't open the stack.

    Raises:
        ConfigError: it doesn't; with what to do.
    """
    file = stacks.settings_file(stack)
    data = read_yaml(file) if file.is_file() else None
    salt = data.get("encryptionsalt") if isinstance(data, dict) else None
    given = _given(environment)
    if not isinstance(salt, str) or given is None or opens(salt, given):
        return
    variable = GIVEN if GIVEN in environment else GIVEN_FILE
    problem = Problem(
        variable, "(set)" if given else '""',
        f"stack {stack} was made with another passphrase ({file.name}, encryptionsalt)",
        f"unset {variable}, or set the stack's; this project's own is empty. "
        f"For a stack that was never raised: remove encryptionsalt, then "
        f"pulumi stack rm --force {stack}",
    )  # fmt: skip
    raise ConfigError("the passphrase", [problem])


def opens(salt: str, passphrase: str) -> bool:
    """Whether a passphrase is the one of an `encryptionsalt`; yes, where its form is unknown."""
    try:
        version, salt_text, inner_version, nonce, sealed = salt.split(":")
        parts = [base64.b64decode(each, validate=True) for each in (salt_text, nonce, sealed)]
    except ValueError:
        return True
    if (version, inner_version) != ("v1", "v1"):
        return True
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), parts[0], ROUNDS, KEY_BYTES)
    try:
        AESGCM(key).decrypt(parts[1], parts[2], None)
    except (InvalidTag, ValueError):
        return False
    return True


def _given(environment: Mapping[str, str]) -> str | None:
    """The passphrase as Pulumi finds it; None: it will ask, or fail by itself."""
    if GIVEN in environment:
        return environment[GIVEN]
    if file := environment.get(GIVEN_FILE):
        try:
            return Path(file).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            return None
    return None
