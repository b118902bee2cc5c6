"""JSON objects that a peer has sent, who may be anybody."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["json_object"]


def json_object(message: bytes | str) -> dict[str, Any] | None:
    """The JSON object in a message, if there is one; whatever else it is, that is no exception."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):  # the latter from what is nested too deeply
        return None
    return value if isinstance(value, dict) else None
