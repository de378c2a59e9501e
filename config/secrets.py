"""The stack's secrets: one seed, and every key derived from it.

Owns the derivation (HKDF, RFC 5869) so that a preview knows all keys without a machine and
an overlay's bytes never change by themselves. Leaves where the seed is kept to `state`.

ECDSA on P-256 because its PEM form (SEC 1, RFC 5915) holds no random bytes and OpenSSH 9.2
reads it; an Ed25519 key in OpenSSH's own format has a random check number.
"""

import base64
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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


def derive_uuid(seed: str, purpose: str) -> str:
    """A UUID (RFC 9562) for a purpose, e.g. a consul token."""
    return str(uuid.UUID(bytes=_derive(seed, purpose, 16), version=4))


def derive_gossip_key(seed: str) -> str:
    """The key consul's agents encrypt their gossip with: 32 bytes in base64."""
    return base64.b64encode(_derive(seed, "consul gossip", 32)).decode()


@dataclass(frozen=True)
class Certificate:
    """A TLS certificate, its key (a secret) and its authority's certificate, all PEM."""

    authority: str
    certificate: str
    key: str

    def __repr__(self) -> str:
        return f"Certificate({self.certificate})"


def derive_certificate(seed: str, name: str, host: str) -> Certificate:
    """A machine's certificate for a host name, signed by the stack's own authority.

    Ed25519 (RFC 8410), because its signatures hold no random bytes: the same for the same seed.
    """
    authority = _ed25519(seed, "authority")
    own = _ed25519(seed, f"certificate {name}")
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rack authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    root = _certificate(issuer, authority, seed, "authority").add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    leaf = (
        _certificate(subject, own, seed, f"certificate {name}")
        .issuer_name(issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
    )
    return Certificate(
        authority=_pem(root.issuer_name(issuer).sign(authority, None)),
        certificate=_pem(leaf.sign(authority, None)),
        key=own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def _ed25519(seed: str, purpose: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_derive(seed, f"ed25519 {purpose}", 32))


def _certificate(
    subject: x509.Name, key: Ed25519PrivateKey, seed: str, purpose: str
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(_derive(seed, f"serial {purpose}", 8)) | 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))  # a machine's clock may be wrong
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


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
