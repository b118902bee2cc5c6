"""The live peers that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.live_peers import compile_c_peer


@pytest.fixture(scope="session")
def c_peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program made of usrsctp_peer.c."""
    return compile_c_peer(tmp_path_factory.mktemp("usrsctp"))
