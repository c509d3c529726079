"""`enforcer-clock`: tells the daemon whether the clock is synchronised. No privilege, no file.

systemd listens for it (sd_listen_fds(3)) and starts it at the first question. Each packet that
comes is answered with one byte; what the packet says does not matter. It ends when nobody has asked
for a while, and the socket starts it anew.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
from collections.abc import Callable

from enforcer.synchronised import NO, YES, kernel_says

_FIRST_PASSED = 3
MOST_PEERS = 8
IDLE_S = 120.0


def main() -> int:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        print(
            "enforcer-clock: no socket was passed; it is started by enforcer-clock.socket: "
            "systemctl start enforcer-clock.socket",
            file=sys.stderr,
        )
        return 64
    with socket.socket(fileno=_FIRST_PASSED) as listener:
        serve(listener, lambda: bool(kernel_says()))
    return 0


def serve(listener: socket.socket, read: Callable[[], bool], idle_s: float = IDLE_S) -> None:
    """Answers at a SOCK_SEQPACKET listener until nobody asks for `idle_s`."""
    peers: list[socket.socket] = []
    listener.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while ready := selector.select(idle_s):
            for key, _ in ready:
                if key.fileobj is listener:
                    _welcome(listener, peers, selector)
                elif key.fileobj in peers and not _answer(key.data, read):
                    _part(key.data, peers, selector)
    for peer in peers:
        peer.close()


def _welcome(
    listener: socket.socket, peers: list[socket.socket], selector: selectors.BaseSelector
) -> None:
    try:
        peer, _ = listener.accept()
    except OSError:
        return
    peer.setblocking(False)
    if len(peers) >= MOST_PEERS:
        _part(peers[0], peers, selector)
    peers.append(peer)
    selector.register(peer, selectors.EVENT_READ, peer)


def _answer(peer: socket.socket, read: Callable[[], bool]) -> bool:
    """False when the peer is gone, or takes no answer."""
    try:
        if not peer.recv(16):
            return False
        peer.send(YES if read() else NO)
    except OSError:
        return False
    return True


def _part(
    peer: socket.socket, peers: list[socket.socket], selector: selectors.BaseSelector
) -> None:
    selector.unregister(peer)
    peers.remove(peer)
    peer.close()


if __name__ == "__main__":
    sys.exit(main())
