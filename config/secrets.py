"""The stack's secrets: one seed, and every key derived from it.

Owns the derivation (HKDF, RFC 5869) so that a preview knows all keys without a machine and
an overlay's bytes never change by themselves. Leaves where the seed is kept to `state`.

ECDSA on P-256 because its PEM form (SEC 1, RFC 5915) holds no random bytes and OpenSSH 9.2
reads it; an Ed25519 key in OpenSSH's own format has a random check number.
"""

import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

SEED_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Key:
    """An ssh key pair: `private` as PEM text (a secret), `public` as in authorized_keys."""

    private: str
    public: str

    def __repr__(self) -> str:
        return f"Key({self.public})"


def new_seed() -> str:
    """A fresh seed, 64 hex digits from the system's random source."""
    return secrets.token_hex(SEED_BYTES)


def _derive(seed: str, purpose: str, length: int) -> bytes:
    key = HKDF(SHA256(), length=length, salt=b"rack-lab", info=purpose.encode())
    return key.derive(bytes.fromhex(seed))


def derive_password(seed: str, purpose: str) -> str:
    """The password for a purpose, e.g. "bmc storage1": 16 hex digits, as IPMI 1.5 allows."""
    return _derive(seed, purpose, 8).hex()


def derive_key(seed: str, purpose: str) -> Key:
    """The key for a purpose, e.g. "host storage1" or "admin"; the same for the same seed.

    48 bytes are reduced modulo the group's order, so that the bias is below 2^-128
    (FIPS 186-5, A.2.1).
    """
    number = int.from_bytes(_derive(seed, purpose, 48)) % (P256_ORDER - 1) + 1
    key = ec.derive_private_key(number, ec.SECP256R1())
    return Key(
        private=key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ).decode(),
        public=key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )
