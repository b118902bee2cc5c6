"""A reset that waited for data is answered together with the acknowledgement of that data (RFC 6525)."""

from __future__ import annotations

import pytest

from tests.support.association_pair import established_pair
from trio_sctp._wire import chunks as c, parameters as p


@pytest.mark.parametrize("interleaving", [False, True], ids=["DATA", "I-DATA"])
def test_a_sack_goes_with_the_answer_that_waited_for_data(interleaving: bool) -> None:
    """§5.2.1; though a SACK alone might be delayed: this DATA is in order."""
    # A -> RE-CONFIG (up to the second message) -> Z   A <- RE-CONFIG (in progress) <- Z
    # A -> DATA -> Z   A <- SACK, RE-CONFIG (performed) <- Z
    pair = established_pair(interleaving=interleaving, path_mtu_discovery=False)
    pair.send(b"first", 1)
    pair.run()
    pair.run_for(1.0)
    pair.send(b"second", 1)
    (data,) = pair.a.pull(pair.now)
    assert pair.a.association.tcb is not None
    sn = pair.a.association.tcb.local.initial_tsn
    (chunk,) = data.chunks
    assert isinstance(chunk, c.Data | c.IData)
    request = p.OutgoingSsnResetRequest(sn, sn - 1, chunk.tsn, (1,))
    (answer,) = pair.z.receive(c.ReConfig((request,)), now=pair.now)
    assert result_of(answer.chunk(c.ReConfig)) == p.ReConfigResult.IN_PROGRESS
    pair.z.give([data.raw], pair.now)
    (answer,) = pair.z.pull(pair.now)
    assert answer.names == "SACK, RE-CONFIG"
    assert result_of(answer.chunk(c.ReConfig)) == p.ReConfigResult.SUCCESS_PERFORMED
    assert pair.z.payloads == [b"first", b"second"]


def result_of(chunk: c.ReConfig) -> object:
    (response,) = chunk.parameters
    assert isinstance(response, p.ReConfigResponse)
    return response.result
