"""OpenSSL's part: one DTLS 1.2 handshake over memory, message by message.

The engine is fed whole handshake messages in order and gives back whole messages: for OpenSSL the
link is perfect, so that its own retransmission timer, which reads the wall clock, finds nothing to
do; should it ever fire, what it repeats is recognised and dropped here.  Record numbers, loss,
cutting and timers are the business of `dtls`.

Once the handshake is complete the keys are taken out and OpenSSL is not needed any more.

The version is DTLS 1.2.  OpenSSL has no DTLS 1.3 up to and including 4.0; when one has it, the
engine is where it comes in, and `dtls_record` needs the other record format (RFC 9147 §4).  Until
then peers that offer both, as browsers do, agree on 1.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from OpenSSL import SSL, crypto

from .certificate import Certificate, PeerPolicy
from .dtls_flight import FlightRecord, HandshakeReassembler, HandshakeType, parse_fragments
from .dtls_record import (
    CIPHER_SUITES,
    AlertDescription,
    ContentType,
    Record,
    RecordProtection,
    derive_protections,
    encode_alert,
    encode_record,
    split_records,
)

__all__ = ["EngineFailure", "HandshakeEngine"]

_DTLS_1_2: Final = 0xFEFD
_OPENSSL_MTU: Final = 16_384
"""More than any message: OpenSSL shall not cut what is cut here."""
_CIPHER_LIST: Final = ":".join(CIPHER_SUITES).encode()
_COOKIE: Final = b"verified"


class EngineFailure(NamedTuple):
    """Why there will be no association."""

    alert: int | None
    """The alert that was handed out with the last records."""
    detail: str
    certificate_rejected: bool = False


class HandshakeEngine:
    """One end of a handshake: messages in, messages out, keys at the end."""

    __slots__ = (
        "_client",
        "_connection",
        "_cookie_verified",
        "_own_messages",
        "_policy",
        "_record_number",
        "_sent_change_cipher_spec",
        "_started",
        "_fed_change_cipher_spec",
        "complete",
        "failure",
        "incoming",
        "outgoing",
        "peer_certificate",
        "ready_for_finished",
    )

    def __init__(
        self,
        certificate: Certificate,
        policy: PeerPolicy,
        *,
        client: bool,
        srtp_profiles: str,
        cookie_verified: bool = False,
        key_log: Callable[[bytes], object] | None = None,
    ) -> None:
        """``cookie_verified``: the first message is a hello whose cookie was checked by us."""
        self._client = client
        self._policy = policy
        self._cookie_verified = cookie_verified
        context = _make_context(certificate, policy, srtp_profiles, cookie_verified, key_log)
        self._connection = SSL.Connection(context, None)
        self._connection.set_ciphertext_mtu(_OPENSSL_MTU)
        if client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        # After a cookie exchange the HelloVerifyRequest was number 0 (RFC 6347 §4.2.2).
        self._own_messages = HandshakeReassembler(1 if cookie_verified else 0)
        self._record_number = 0
        self._sent_change_cipher_spec = False
        self._fed_change_cipher_spec = False
        self._started = False
        self.ready_for_finished = False
        """Every plaintext message of the peer has been seen: its Finished is next."""
        self.complete = False
        self.failure: EngineFailure | None = None
        self.incoming: RecordProtection | None = None
        """The peer's direction, known from when our own Finished was made."""
        self.outgoing: RecordProtection | None = None
        self.peer_certificate: bytes | None = None
        """DER; set only after the policy accepted it."""

    def start(self) -> list[FlightRecord]:
        """The client's first flight."""
        self._started = True
        return self._run()

    def feed_message(self, message_type: int, message: bytes) -> list[FlightRecord]:
        """The peer's next plaintext message; what it leads to is a whole flight or nothing."""
        self._write(ContentType.HANDSHAKE, message)
        if not self._started and not self._client:
            self._started = True
            if self._cookie_verified:
                self._listen()
        if message_type == HandshakeType.CERTIFICATE_VERIFY:
            self.ready_for_finished = True
        return self._run()

    def feed_protected(self, record: Record) -> list[FlightRecord]:
        """A handshake record of epoch 1.  A forged one is dropped by OpenSSL."""
        if not self._fed_change_cipher_spec:
            # RFC 6347 §4.2.5: where a ChangeCipherSpec belongs is known, so that it may be lost.
            self._fed_change_cipher_spec = True
            self._write(ContentType.CHANGE_CIPHER_SPEC, b"\x01")
        self._connection.bio_write(record.encoded)
        return self._run()

    @property
    def details(self) -> tuple[str, str]:
        """Cipher suite and SRTP profile, once the handshake is complete."""
        profile = self._connection.get_selected_srtp_profile()
        return self._connection.get_cipher_name() or "", profile.decode()

    def _write(self, content_type: int, fragment: bytes) -> None:
        self._connection.bio_write(encode_record(content_type, self._record_number, fragment))
        self._record_number += 1

    def _listen(self) -> None:
        # OpenSSL insists on verifying the cookie (ours was verified before) to begin at message 1.
        try:
            self._connection.DTLSv1_listen()
        except SSL.WantReadError:
            self.failure = EngineFailure(None, "malformed ClientHello")
        except SSL.Error as error:
            self.failure = EngineFailure(None, _reasons(error))

    def _run(self) -> list[FlightRecord]:
        if self.failure is not None:
            return []
        detail = None
        try:
            self._connection.do_handshake()
            self.complete = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            detail = _reasons(error)
        if self.peer_certificate is None and not self._check_peer():
            return self._fail(AlertDescription.BAD_CERTIFICATE, "unexpected certificate")
        records = self._take_output()
        if detail is not None:
            alerts = [r for r in records if r.content_type == ContentType.ALERT]
            if not alerts:
                return self._fail(AlertDescription.HANDSHAKE_FAILURE, detail)
            self.failure = EngineFailure(alerts[-1].payload[1], detail)
            return alerts
        return records

    def _check_peer(self) -> bool:
        """As soon as the certificate is there, before anything that follows from it is sent."""
        # Only its bytes are wanted: a parser stricter than OpenSSL's might refuse them by raising.
        certificate = self._connection.get_peer_certificate()
        if certificate is None:
            return True
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        if not self._policy.accepts(der):
            return False
        self.peer_certificate = der
        return True

    def _fail(self, alert: int, detail: str) -> list[FlightRecord]:
        rejected = alert == AlertDescription.BAD_CERTIFICATE
        self.complete = False
        self.failure = EngineFailure(alert, detail, certificate_rejected=rejected)
        return [FlightRecord(ContentType.ALERT, 0, encode_alert(alert))]

    def _take_output(self) -> list[FlightRecord]:
        try:
            output = self._connection.bio_read(1 << 20)
        except SSL.WantReadError:
            output = b""
        records: list[FlightRecord] = []
        for record in split_records(output):
            self._take_record(record, records)
        if self.complete:
            self._make_protections()
        return records

    def _take_record(self, record: Record, records: list[FlightRecord]) -> None:
        payload: bytes | None = record.fragment
        if record.epoch:
            payload = self._make_protections().open(record)
            # The keys are the ones that OpenSSL uses, or nothing here can work.
            assert payload is not None
        assert payload is not None
        if record.content_type == ContentType.HANDSHAKE:
            for fragment in parse_fragments(payload):
                self._own_messages.add(fragment)  # what OpenSSL repeats of itself goes nowhere
            for _, message in self._own_messages.take_messages():
                records.append(FlightRecord(ContentType.HANDSHAKE, record.epoch, message))
                self.ready_for_finished |= self._client and record.epoch == 1
        elif record.content_type == ContentType.CHANGE_CIPHER_SPEC:
            if not self._sent_change_cipher_spec:
                self._sent_change_cipher_spec = True
                records.append(FlightRecord(record.content_type, 0, payload))
        else:
            records.append(FlightRecord(record.content_type, record.epoch, payload))

    def _make_protections(self) -> RecordProtection:
        """Our direction; both are derived when they are first wanted."""
        if self.outgoing is None:
            connection = self._connection
            name, master_secret = connection.get_cipher_name(), connection.master_key()
            client_random, server_random = connection.client_random(), connection.server_random()
            assert name is not None
            assert master_secret is not None
            assert client_random is not None
            assert server_random is not None
            client, server = derive_protections(name, master_secret, client_random, server_random)
            self.outgoing = client if self._client else server
            self.incoming = server if self._client else client
        return self.outgoing


def _make_context(
    certificate: Certificate,
    policy: PeerPolicy,
    srtp_profiles: str,
    cookie_verified: bool,
    key_log: Callable[[bytes], object] | None,
) -> SSL.Context:
    # A context may not be changed after its first connection: each association has its own.
    context = SSL.Context(SSL.DTLS_METHOD)
    # RFC 8996 ended DTLS 1.0, which RFC 8261 §5 still asks for.
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_cipher_list(_CIPHER_LIST)
    context.set_options(
        SSL.OP_NO_QUERY_MTU
        | SSL.OP_NO_TICKET
        | SSL.OP_NO_COMPRESSION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_tlsext_use_srtp(srtp_profiles.encode())
    context.use_privatekey(certificate.private_key)
    context.use_certificate(certificate.certificate)
    for extra in certificate.chain:
        context.add_extra_chain_cert(extra)
    _set_verification(context, policy)
    if cookie_verified:
        context.set_cookie_generate_callback(lambda _connection: _COOKIE)
        context.set_cookie_verify_callback(lambda _connection, _cookie: True)
    if key_log is not None:
        context.set_keylog_callback(_line_to(key_log))
    return context


def _line_to(key_log: Callable[[bytes], object]) -> Callable[[SSL.Connection, bytes], None]:
    def callback(_connection: SSL.Connection, line: bytes) -> None:
        key_log(line)

    return callback


def _set_verification(context: SSL.Context, policy: PeerPolicy) -> None:
    with_authority = bool(policy.authorities)
    store = context.get_cert_store()
    for authority in policy.authorities:
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(authority))
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        # Without an authority the hash of the certificate decides, see `_check_peer`.
        lambda _connection, _certificate, _error, _depth, ok: bool(ok) or not with_authority,
    )


def _reasons(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args else []
    if isinstance(reasons, list):
        return "; ".join(str(entry[-1]) for entry in reasons) or "unknown reason"
    return str(reasons)
