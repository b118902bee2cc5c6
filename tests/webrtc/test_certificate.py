from __future__ import annotations

import datetime as dt
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from trio_sctp._webrtc.certificate import (
    Certificate,
    Fingerprint,
    PeerPolicy,
)


def self_signed(key: object, *, names: list[x509.GeneralName] | None = None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(7)
        .not_valid_before(dt.datetime(2020, 1, 1))
        .not_valid_after(dt.datetime(2100, 1, 1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest)  # type: ignore[arg-type]


def test_generated_certificates_are_p256_and_differ() -> None:
    one, two = Certificate.generate(), Certificate.generate()
    assert isinstance(one.private_key.public_key(), ec.EllipticCurvePublicKey)
    assert one.certificate.signature_hash_algorithm is not None
    assert one.certificate.signature_hash_algorithm.name == "sha256"
    assert one.fingerprint() != two.fingerprint()
    assert one.certificate.serial_number != two.certificate.serial_number


def test_pem_round_trip_in_either_order() -> None:
    certificate = Certificate.generate()
    pem = certificate.to_pem()
    assert Certificate.from_pem(pem).fingerprint() == certificate.fingerprint()
    head, marker, tail = pem.partition(b"-----BEGIN CERTIFICATE")
    assert Certificate.from_pem((marker + tail + head).decode()).der == certificate.der


def test_chain_is_kept() -> None:
    certificate, other = Certificate.generate(), Certificate.generate()
    pem = certificate.to_pem() + other.certificate.public_bytes(serialization.Encoding.PEM)
    again = Certificate.from_pem(Certificate.from_pem(pem).to_pem())
    assert again.der == certificate.der
    assert again.chain == (other.certificate,)


def test_key_of_another_certificate_is_refused() -> None:
    one, two = Certificate.generate(), Certificate.generate()
    with pytest.raises(ValueError, match="does not belong"):
        Certificate(one.private_key, two.certificate)


def test_unsuitable_keys_are_refused() -> None:
    small = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ValueError, match="1024 bits"):
        Certificate(small, self_signed(small))
    edwards = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(ValueError, match="EC or RSA"):
        Certificate(edwards, self_signed(edwards))  # type: ignore[arg-type]
    pem = edwards.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + self_signed(edwards).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ValueError, match="EC or RSA"):
        Certificate.from_pem(pem)


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_broken_pem_is_a_value_error(pem: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Certificate.from_pem(pem)


def test_encrypted_key_needs_its_password() -> None:
    certificate = Certificate.generate()
    key = certificate.private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    pem = key + certificate.certificate.public_bytes(serialization.Encoding.PEM)
    assert Certificate.from_pem(pem, password=b"secret").der == certificate.der
    with pytest.raises(ValueError, match=r"[Pp]assword"):
        Certificate.from_pem(pem, password=b"guess")
    with pytest.raises(TypeError, match=r"[Pp]assword"):
        Certificate.from_pem(pem)
    with pytest.raises(TypeError, match=r"[Pp]assword"):
        Certificate.from_pem(certificate.to_pem(), password=b"secret")


def test_fingerprint_text_is_the_one_of_rfc_8122() -> None:
    certificate = Certificate.generate()
    text = str(certificate.fingerprint())
    algorithm, _, digest = text.partition(" ")
    assert algorithm == "sha-256"
    assert len(digest) == 32 * 3 - 1
    assert digest == digest.upper()
    assert bytes.fromhex(digest.replace(":", "")) == certificate.certificate.fingerprint(
        hashes.SHA256()
    )
    assert repr(certificate) == f"<Certificate {text}>"


def test_fingerprint_is_read_in_any_letter_case() -> None:
    fingerprint = Certificate.generate().fingerprint()
    assert Fingerprint.parse(f"  SHA-256  {fingerprint.digest.hex(':')} ") == fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha-256",
        "AA:BB",
        "sha-256 AA:BB",
        "sha-256 " + "AA" * 32,
        "sha-256 " + ":".join(["GG"] * 32),
        "sha-256 " + ":".join(["AA"] * 33),
        "sha-256 " + ":".join(["AA"] * 32) + ":",
        "sha 256 " + ":".join(["AA"] * 32),
    ],
)
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        Fingerprint.parse(text)


def test_unknown_hash_functions_are_read_and_never_match() -> None:
    certificate = Certificate.generate()
    weak = Fingerprint("sha-1", certificate.certificate.fingerprint(hashes.SHA1()))
    assert Fingerprint.parse(str(weak)) == weak
    assert not weak.usable
    assert not weak.matches(certificate.der)
    with pytest.raises(ValueError, match="sha-256"):
        Fingerprint.of(certificate.der, "sha-1")
    with pytest.raises(ValueError, match="no fingerprint"):
        PeerPolicy.fingerprints(weak)
    with pytest.raises(ValueError, match="no fingerprint"):
        PeerPolicy.fingerprints()


def test_policy_of_several_fingerprints() -> None:
    one, two, three = (Certificate.generate() for _ in range(3))
    policy = PeerPolicy.fingerprints(one.fingerprint(), str(two.fingerprint()))
    assert policy.accepts(one.der)
    assert policy.accepts(two.der)
    assert not policy.accepts(three.der)


def test_only_the_strongest_hash_function_counts() -> None:
    # RFC 8122 §5.1: a match of a weaker function does not make up for it.
    one, two = Certificate.generate(), Certificate.generate()
    policy = PeerPolicy.fingerprints(one.fingerprint("sha-256"), two.fingerprint("sha-512"))
    assert policy.accepts(two.der)
    assert not policy.accepts(one.der)


def test_anyone_and_authority() -> None:
    certificate = Certificate.generate()
    assert PeerPolicy.anyone().accepts(certificate.der)
    pem = certificate.to_pem().decode()
    assert PeerPolicy.authority(pem).authorities == (certificate.certificate,)
    with pytest.raises(ValueError, match="PEM"):
        PeerPolicy.authority(b"no certificate")


def test_authority_with_a_name() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("Host.example"), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]
    named = Certificate(key, self_signed(key, names=names))
    for name, accepted in [("host.example", True), ("192.0.2.1", True), ("other.example", False)]:
        assert PeerPolicy.authority(named.to_pem(), name=name).accepts(named.der) is accepted
    policy = PeerPolicy.authority(named.to_pem(), name="host.example")
    assert not policy.accepts(Certificate.generate().der)
    assert not policy.accepts(b"\x30\x00")
