"""Certificates that tests share: making keys is slow."""

from __future__ import annotations

from trio_sctp._webrtc.certificate import Certificate

CLIENT = Certificate.generate(common_name="client")
SERVER = Certificate.generate(common_name="server")
STRANGER = Certificate.generate(common_name="stranger")
