"""Certificates and who may hold them: the identity side of DTLS.

In WebRTC nobody asks a certificate authority: each end makes a self-signed certificate and tells
its hash to the other end through signalling (RFC 8122, RFC 8827 §6.5).  This module makes and
stores such certificates, reads and compares fingerprints, and says as a value, a `PeerPolicy`,
which certificate the other end has to show.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ["Certificate", "Fingerprint", "PeerPolicy"]

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# Strongest first: RFC 8122 §5.1 has the verifier choose the function that it prefers.
# SHA-1 and MD5 are parsed like any unknown function and never match (RFC 8122 §5).
_HASH_FUNCTIONS = {
    "sha-512": hashlib.sha512,
    "sha-384": hashlib.sha384,
    "sha-256": hashlib.sha256,
}
_FINGERPRINT = re.compile(r"\s*([!#-'*+.0-9A-Z^-~-]+)\s+([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)\s*")

# Nothing looks at the validity of a certificate that is pinned by its hash, and a date would only
# tell when the program was started (RFC 5280 §4.1.2.5 gives the end of time for "no expiration").
_NOT_BEFORE = dt.datetime(2000, 1, 1)
_NOT_AFTER = dt.datetime(9999, 12, 31, 23, 59, 59)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a certificate, as signalling carries it (RFC 8122 §5)."""

    algorithm: str
    """The hash function's name in lower case, such as ``sha-256``."""
    digest: bytes

    @classmethod
    def of(cls, der: bytes, algorithm: str = "sha-256") -> Fingerprint:
        """The fingerprint of a DER certificate; `ValueError` for a hash function we do not use."""
        function = _HASH_FUNCTIONS.get(algorithm.lower())
        if function is None:
            raise ValueError(f"algorithm {algorithm!r} is none of {', '.join(_HASH_FUNCTIONS)}")
        return cls(algorithm.lower(), function(der).digest())

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read ``sha-256 AA:BB:...`` in any letter case; `ValueError` for anything else."""
        match = _FINGERPRINT.fullmatch(text)
        if match is None:
            raise ValueError(f"not a fingerprint: {text[:80]!r}")
        algorithm = match[1].lower()
        digest = bytes.fromhex(match[2].replace(":", ""))
        function = _HASH_FUNCTIONS.get(algorithm)
        if function is not None and len(digest) != function().digest_size:
            raise ValueError(f"a {algorithm} fingerprint of {len(digest)} bytes")
        return cls(algorithm, digest)

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest.hex(':').upper()}"

    @property
    def usable(self) -> bool:
        """Whether a certificate can be compared with it."""
        return self.algorithm in _HASH_FUNCTIONS

    def matches(self, der: bytes) -> bool:
        """Whether ``der`` has this hash; takes the same time wherever the bytes differ."""
        function = _HASH_FUNCTIONS.get(self.algorithm)
        return function is not None and hmac.compare_digest(function(der).digest(), self.digest)


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """Which certificate the other end must show.

    Made by `fingerprints`, `authority` or `anyone`: there is no default, and the last is meant to
    catch the eye of whoever reviews the program.
    """

    accepted: tuple[Fingerprint, ...] | None = None
    authorities: tuple[x509.Certificate, ...] = ()
    name: str | None = None

    @classmethod
    def fingerprints(cls, *fingerprints: Fingerprint | str) -> PeerPolicy:
        """Certificates with one of these hashes.

        Of several hash functions only the strongest is looked at (RFC 8122 §5.1).  `ValueError`
        where none of them can be compared with, since such a policy would refuse everybody.
        """
        parsed = [f if isinstance(f, Fingerprint) else Fingerprint.parse(f) for f in fingerprints]
        for algorithm in _HASH_FUNCTIONS:
            chosen = tuple(f for f in parsed if f.algorithm == algorithm)
            if chosen:
                return cls(accepted=chosen)
        raise ValueError("no fingerprint of sha-256, sha-384 or sha-512 was given")

    @classmethod
    def authority(cls, pem: bytes | str, *, name: str | None = None) -> PeerPolicy:
        """Certificates that chain up to one of the authorities in ``pem``.

        With ``name``, the certificate must carry it as an alternative name (DNS or IP address).
        OpenSSL compares the dates of the chain with the machine's clock.
        """
        data = pem.encode() if isinstance(pem, str) else pem
        return cls(authorities=tuple(x509.load_pem_x509_certificates(data)), name=name)

    @classmethod
    def anyone(cls) -> PeerPolicy:
        """Every certificate, although there has to be one and its key is proven."""
        return cls()

    def accepts(self, der: bytes) -> bool:
        """Whether the peer's own certificate will do; the chain is the TLS library's work."""
        if self.accepted is not None:
            # No early exit: which of several fingerprints matched is nobody's business.
            return sum(fingerprint.matches(der) for fingerprint in self.accepted) > 0
        return self.name is None or self.name.lower() in _alternative_names(der)


def _alternative_names(der: bytes) -> set[str]:
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.InvalidVersion, x509.ExtensionNotFound, UnsupportedAlgorithm):
        return set()
    dns = (name.lower() for name in names.get_values_for_type(x509.DNSName))
    return {*dns, *(str(address) for address in names.get_values_for_type(x509.IPAddress))}


class Certificate:
    """A private key and its certificate."""

    __slots__ = ("certificate", "chain", "der", "private_key")

    def __init__(
        self,
        private_key: PrivateKey,
        certificate: x509.Certificate,
        chain: Iterable[x509.Certificate] = (),
    ) -> None:
        """`ValueError` if the two do not belong together or DTLS peers would refuse the key."""
        if not isinstance(private_key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            raise ValueError("private_key must be an EC or RSA key")
        if isinstance(private_key, rsa.RSAPrivateKey) and private_key.key_size < 2048:
            raise ValueError(f"private_key has {private_key.key_size} bits: 2048 is the least")
        if private_key.public_key() != certificate.public_key():
            raise ValueError("private_key does not belong to certificate")
        self.private_key = private_key
        self.certificate = certificate
        self.chain = tuple(chain)
        self.der = certificate.public_bytes(serialization.Encoding.DER)

    def __repr__(self) -> str:
        return f"<Certificate {self.fingerprint()}>"

    @classmethod
    def generate(cls, *, common_name: str = "trio_sctp") -> Certificate:
        """A new ECDSA P-256 key, the kind every WebRTC stack takes (RFC 8827 §6.5), self-signed.

        Key and serial number come from the operating system's entropy.
        """
        private_key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=private_key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=_NOT_BEFORE,
            not_valid_after=_NOT_AFTER,
        )
        return cls(private_key, builder.sign(private_key, hashes.SHA256()))

    @classmethod
    def from_pem(cls, pem: bytes | str, *, password: bytes | None = None) -> Certificate:
        """Read a PEM text that holds the private key and the certificate, in any order.

        Further certificates are the chain that is sent along.  `ValueError` if anything is missing,
        and `TypeError` if it is the password, or if nothing is encrypted with one.
        """
        data = pem.encode() if isinstance(pem, str) else pem
        private_key = serialization.load_pem_private_key(data, password)
        first, *rest = x509.load_pem_x509_certificates(data)
        if not isinstance(private_key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
            raise ValueError("the PEM's private key must be an EC or RSA key")
        return cls(private_key, first, rest)

    def to_pem(self) -> bytes:
        """Private key (PKCS #8, not encrypted) and certificates, as `from_pem` reads them."""
        key = self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        certificates = (self.certificate, *self.chain)
        return key + b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)

    def fingerprint(self, algorithm: str = "sha-256") -> Fingerprint:
        """The hash that signalling tells the other end (RFC 8122 §5)."""
        return Fingerprint.of(self.der, algorithm)
