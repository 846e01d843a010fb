"""The client of a verb, from its command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titan.client import Client
    from titan.records import Refusal

CONNECT_SECONDS = 2.0  # people wait in front of it; the daemon takes samples 0.2 s after its start


def client(args: argparse.Namespace, on_refusal: Callable[[Refusal], object] | None = None) -> Client:
    """Return a client for the address that was given."""
    from titan.client import Client  # gRPC takes most of the start: only for verbs that need it

    return Client(
        args.address,
        admin_address=args.admin_address,
        producer="titanctl",
        connect_timeout=CONNECT_SECONDS,
        on_refusal=on_refusal,
    )
