"""Raw sockets around the byte path: what was sent, byte for byte, and what came back."""

from wire.decisions import ALICE, BOB, NOBODY, Observer, Permissions, pipeline
from wire.peers import Client, Peer, Upstream
from wire.rig import Rig, running

__all__ = [
    "ALICE",
    "BOB",
    "NOBODY",
    "Client",
    "Observer",
    "Peer",
    "Permissions",
    "Rig",
    "Upstream",
    "pipeline",
    "running",
]
