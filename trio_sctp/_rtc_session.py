"""The signalling side of a WebRTC peer: what we said, what it said, and what follows from both.

No task and no clock but trio's: the shell's part of JSEP (RFC 9429), as far as one section of data
channels needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Literal

import trio

from ._core.signalled_init import BadInitError, read_init
from ._rtc_ice import Ice
from ._webrtc.certificate import Certificate
from ._webrtc.ice_candidate import Candidate, IceCredentials
from ._webrtc.sdp_common import Setup
from ._webrtc.sdp_lines import SdpError
from ._webrtc.sdp_local import LocalDescription, answer_setup
from ._webrtc.sdp_remote import RemoteDescription

__all__ = ["DtlsRole", "RtcSession"]

DtlsRole = Literal["client", "server"]
_SETUP = {"client": Setup.ACTIVE, "server": Setup.PASSIVE}


class RtcSession:
    """One session of offers and answers, and the agent whose credentials they carry."""

    def __init__(
        self,
        ice: Ice,
        certificate: Certificate,
        *,
        rng: Random,
        sctp_port: int,
        max_message_size: int,
        public_hosts: Iterable[str] = (),
        dtls_role: DtlsRole | None = None,
        sctp_init: bytes | None = None,
    ) -> None:
        """``sctp_init``: what `make_init` gave, where the handshake of SCTP may be saved."""
        self.ice = ice
        self.inits: tuple[bytes, bytes] | None = None
        """Our INIT and the peer's, once both have been exchanged."""
        self.remote: RemoteDescription | None = None
        self.type: Literal["offer", "answer"] = "offer"
        self._rng = rng
        self._public_hosts = tuple(public_hosts)
        if dtls_role is not None and dtls_role not in _SETUP:
            raise ValueError(f"dtls_role is {dtls_role!r}: it must be one of {', '.join(_SETUP)}")
        self._setup: Setup | None = None if dtls_role is None else _SETUP[dtls_role]
        if self._setup is None and ice.lite:
            self._setup = Setup.PASSIVE  # all may reach it, and its peer checks before it does
        self._role: Setup | None = None
        self._local = LocalDescription(
            session_id=LocalDescription.new_session_id(rng),
            credentials=ice.credentials,
            fingerprints=(certificate.fingerprint(),),
            ice_lite=ice.lite,
            sctp_port=sctp_port,
            max_message_size=max_message_size,
            version=0,
            tls_id=LocalDescription.new_tls_id(rng),
            sctp_init=sctp_init,
        )

    @property
    def is_dtls_client(self) -> bool:
        """Whether we begin with DTLS: settled by offer and answer."""
        return self._role is Setup.ACTIVE

    def announced(self, candidate: Candidate) -> list[str]:
        """What is told to the peer of a candidate: where this machine is behind a static address
        translation, its public addresses take the place of its own.
        """
        if not self._public_hosts:
            return [str(candidate)]
        if candidate.kind != "host":
            return []
        return [
            str(replace(candidate, host=host))
            for host in self._public_hosts
            if (":" in host) == (":" in candidate.host)
        ]

    def description(self, *, trickling: bool) -> str:
        """Our present offer or answer."""
        texts = [text for c in self.ice.local_candidates for text in self.announced(c)]
        local = replace(
            self._local,
            candidates=tuple(Candidate.parse(text) for text in dict.fromkeys(texts)),
            end_of_candidates=not trickling,
            trickle=trickling,
            version=self._local.version + 1,
        )
        if self.type == "answer":
            assert self.remote is not None
            return local.answer(self.remote, setup=self._role)
        return local.offer(after=self.remote)

    def accept_offer(self, remote: RemoteDescription) -> None:
        """The peer's offer, the first one or a further one."""
        self._check_same_peer(remote)
        role = self._role_towards(remote)
        self._exchange_inits(remote)
        self._role = role
        before = self.remote
        self.remote = replace(remote, candidates=())  # those are ICE's from now on
        self.type = "answer"
        if before is None:
            self.ice.set_remote(remote, trio.current_time())
        elif before.credentials != remote.credentials:  # RFC 8839 §4.4.1.1: an ICE restart
            self._new_credentials()
            self.ice.set_remote(remote, trio.current_time())
        else:
            self._local = replace(self._local, version=self._local.version + 1)

    def _role_towards(self, offer: RemoteDescription) -> Setup:
        """Our role in DTLS: what was agreed stays, or else the one we would like to have."""
        if self._role is None:
            try:
                return answer_setup(offer, self._setup or _preferred(offer))
            except ValueError:
                return answer_setup(offer)
        try:
            return answer_setup(offer, self._role)
        except ValueError as error:  # RFC 8842 §5.1: that would be another DTLS association
            raise SdpError(f"another role in DTLS in the same session: {error}") from None

    def accept_answer(self, remote: RemoteDescription) -> None:
        """The peer's answer to our offer."""
        if self.type != "offer":
            raise SdpError("an answer although nothing was offered")
        self._check_same_peer(remote)
        if remote.ice_lite and self.ice.lite:
            raise SdpError("both ends are ICE lite")
        self._exchange_inits(remote)
        if self._role is None:
            self._role = Setup.PASSIVE if remote.setup is Setup.ACTIVE else Setup.ACTIVE
        before = self.remote
        self.remote = replace(remote, candidates=())  # those are ICE's from now on
        if before is None or before.credentials != remote.credentials:
            self.ice.set_remote(remote, trio.current_time())

    def restart(self) -> None:
        """New credentials, and an offer that carries them."""
        if self.remote is None:
            raise RuntimeError("there is no session yet that could restart")
        self._new_credentials()
        self.type = "offer"

    def _exchange_inits(self, remote: RemoteDescription) -> None:
        """draft-hancke-tsvwg-snap §5: both ends send an INIT, and always the same, or none does."""
        local, peer = self._local.sctp_init, remote.sctp_init
        if self.remote is not None:
            if self.inits is not None and peer not in (None, self.inits[1]):
                raise SdpError("another sctp-init in the same session")
        elif local is not None and peer is not None:
            try:
                read_init(peer)
            except BadInitError as error:
                raise SdpError(f"sctp-init: {error}") from error
            self.inits = local, peer
        else:
            self._local = replace(self._local, sctp_init=None)

    def _new_credentials(self) -> None:
        credentials = IceCredentials.generate(self._rng)
        self.ice.restart(credentials, trio.current_time())
        version = self._local.version + 1
        self._local = replace(self._local, credentials=credentials, version=version)

    def _check_same_peer(self, remote: RemoteDescription) -> None:
        # RFC 8842 §5.1: another fingerprint is another DTLS association, and so another peer here.
        if self.remote is not None and self.remote.fingerprints != remote.fingerprints:
            raise SdpError("another certificate in the same session")


def _preferred(offer: RemoteDescription) -> Setup | None:
    """RFC 8842 §5.3: an answerer should be active, which saves half a round trip."""
    return Setup.ACTIVE if offer.setup is Setup.ACTPASS else None
