"""The stateless cookie exchange of a DTLS server (RFC 6347 §4.2.1).

Where nothing else has shown that a client really is at its address (with ICE, a connectivity
check has) a server answers a ClientHello with a HelloVerifyRequest and keeps nothing.  The cookie
in it is a MAC of the client's address and hello, so the client that returns it can receive
there.  The answer is never longer than what it answers.

OpenSSL's own stateless server needs a hello in one piece.  Here the first fragment is enough: it
holds everything up to the cookie, and only a fragment with a good cookie leads to state, which
then gathers the rest.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from .dtls_flight import Fragment, HandshakeType, parse_fragments
from .dtls_record import ContentType, Record, encode_record, split_records

__all__ = ["ClientHelloPrefix", "CookieGate", "CookieVerdict", "client_hello_prefix"]

_BUCKET: Final = 4
_COOKIE_SIZE: Final = _BUCKET + 16
_DTLS_1_0: Final = 0xFEFF


class ClientHelloPrefix(NamedTuple):
    """What is to be seen of a client in the first fragment of its hello."""

    random: bytes
    parameters: bytes
    """Version, random and session id: they are the same in the hello that returns a cookie."""
    cookie: bytes
    record: Record
    message_seq: int


def client_hello_prefix(datagram: bytes) -> ClientHelloPrefix | None:
    """Look at a datagram that may begin with the first fragment of a ClientHello."""
    record = next(split_records(datagram), None)
    if record is None or record.content_type != ContentType.HANDSHAKE or record.epoch:
        return None
    fragment = next(parse_fragments(record.fragment), None)
    if fragment is None or fragment.message_type != HandshakeType.CLIENT_HELLO or fragment.offset:
        return None
    return _parse_prefix(record, fragment)


def _parse_prefix(record: Record, fragment: Fragment) -> ClientHelloPrefix | None:
    body = fragment.data
    session_id_at = 2 + 32
    if len(body) <= session_id_at or body[session_id_at] > 32:
        return None
    cookie_at = session_id_at + 1 + body[session_id_at]
    if len(body) <= cookie_at:
        return None
    cookie = body[cookie_at + 1 : cookie_at + 1 + body[cookie_at]]
    if len(cookie) != body[cookie_at]:
        return None
    return ClientHelloPrefix(body[2:34], body[:cookie_at], cookie, record, fragment.message_seq)


class CookieVerdict(NamedTuple):
    """What to do with a datagram from an address without an association."""

    hello: ClientHelloPrefix | None
    """Set where the client returned a good cookie: make an association and give it the datagram."""
    reply: bytes | None
    """To be sent back otherwise; None where there is nothing to say."""


_NOTHING: Final = CookieVerdict(None, None)


class CookieGate:
    """Tells clients that can receive at their address from forged ones, without remembering any."""

    __slots__ = ("_lifetime", "_secret")

    def __init__(self, secret: bytes, *, lifetime: float = 60.0) -> None:
        """``secret``: at least 16 unpredictable bytes; ``lifetime``: seconds a cookie is good
        for.
        """
        if len(secret) < 16:
            raise ValueError(f"secret has {len(secret)} bytes: 16 is the least")
        self._secret = secret
        self._lifetime = lifetime

    def examine(self, datagram: bytes, source: bytes, *, now: float) -> CookieVerdict:
        """Judge one datagram; ``source`` is the sender's address, as bytes that are unique for
        it.
        """
        hello = client_hello_prefix(datagram)
        if hello is None:
            return _NOTHING
        bucket = int(now / self._lifetime)
        if self._is_good(hello, source, bucket):
            return CookieVerdict(hello, None)
        # RFC 6347 §4.2.1: a wrong cookie is treated as none at all.
        reply = self._hello_verify_request(hello, source, bucket)
        return CookieVerdict(None, reply if len(reply) <= len(datagram) else None)

    def _cookie(self, hello: ClientHelloPrefix, source: bytes, bucket: int) -> bytes:
        stamp = (bucket & 0xFFFFFFFF).to_bytes(_BUCKET, "big")
        parts = (stamp, len(source).to_bytes(2, "big"), source, hello.parameters)
        return stamp + hmac.digest(self._secret, b"".join(parts), hashlib.sha256)[:16]

    def _is_good(self, hello: ClientHelloPrefix, source: bytes, bucket: int) -> bool:
        if len(hello.cookie) != _COOKIE_SIZE:
            return False
        stamp = int.from_bytes(hello.cookie[:_BUCKET], "big")
        age = (bucket - stamp) & 0xFFFFFFFF
        expected = self._cookie(hello, source, stamp)
        return age <= 1 and hmac.compare_digest(expected, hello.cookie)

    def _hello_verify_request(self, hello: ClientHelloPrefix, source: bytes, bucket: int) -> bytes:
        cookie = self._cookie(hello, source, bucket)
        body = _DTLS_1_0.to_bytes(2, "big") + bytes((len(cookie),)) + cookie
        size = len(body).to_bytes(3, "big")
        header = bytes((HandshakeType.HELLO_VERIFY_REQUEST,)) + size + bytes(5) + size
        # The number of the record that is answered: there is no counter of ours to take one from.
        number = hello.record.sequence_number
        return encode_record(ContentType.HANDSHAKE, number, header + body, version=_DTLS_1_0)
