"""Who takes descriptors for others, when there are none left.

In: listening sockets. Out: the same, which accept in turn with whoever gives up a descriptor for a
moment to turn somebody away: in between, another thread of this process would take it for good.
"""

from __future__ import annotations

import socket
import threading

# The table of descriptors belongs to the process, and so does this.
TAKING = threading.Lock()


class Listener(socket.socket):
    """Its `accept` waits until nobody has given up a descriptor. For sockets that do not block."""

    def accept(self) -> tuple[socket.socket, object]:
        with TAKING:
            return super().accept()
