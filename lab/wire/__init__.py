"""Raw sockets around the byte path: what was sent, byte for byte, and what came back."""

from lab.wire.decisions import ALICE, BOB, NOBODY, Observer, Permissions, pipeline
from lab.wire.peers import Client, Peer, Upstream
from lab.wire.rig import Rig, running

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
