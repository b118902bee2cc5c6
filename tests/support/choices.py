"""Every combination of loss recovery and congestion control, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

choices: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "loss_recovery": st.sampled_from(["rack", "rfc9260"]),
        "congestion_control": st.sampled_from(["rfc9260", "cubic"]),
    }
)
"""Fields of a `Config`."""
