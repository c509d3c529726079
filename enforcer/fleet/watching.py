"""A watch on the head of a gateway's track: it pokes when that may have moved, for as long as the
process lasts. It only makes things quick; what it misses is found by looking.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from enforcer.fleet.pausing import Pauses
from enforcer.fleet.poke import Poke
from enforcer.fleet.store import RefusedError, Store
from enforcer.fleet.troubles import EtcdError

# Between attempts to ask etcd.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
_SILENCE_S = 25.0
# A watch that ends sooner was ended by what answers there.
_STEADY_S = 5.0


def watch(store: Store, track: Callable[[], str], poke: Poke) -> None:
    """Until `poke.ended`; a thread's whole life."""
    pauses = Pauses(FIRST_WAIT_S, LONGEST_WAIT_S)
    while not poke.ended:
        name, began_at = track(), time.monotonic()
        try:
            _, revision = store.head(name)
            poke.now()
            for _ in store.client.watch(store.key("head", name), revision, _SILENCE_S):
                poke.now()
        except (EtcdError, RefusedError):
            pass
        # Whatever ends watches at once, a proxy say, would have etcd asked without a pause.
        if time.monotonic() - began_at >= _STEADY_S:
            pauses.over()
        else:
            time.sleep(pauses.next_s())
