"""Whoever gives up a descriptor for a moment is not robbed of it by another thread's accept."""

from __future__ import annotations

import socket
import threading

from enforcer.descriptors import TAKING, Listener


def test_an_accept_waits_until_nobody_has_given_up_a_descriptor() -> None:
    accepted = threading.Event()
    with Listener() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())

        def accept() -> None:
            listener.accept()[0].close()
            accepted.set()

        taker = threading.Thread(target=accept)
        with TAKING:
            taker.start()
            assert not accepted.wait(0.2)
        assert accepted.wait(10)
        taker.join()
