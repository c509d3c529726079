"""Faults of the machine, not of the plan: no privilege, lost answers, timers that must not slip."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import time

import pytest

from enforcer.errors import KernelError
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from tests.kernel import every_word as e
from tests.kernel.slowness import patient
from tests.kernel.worlds import RealWorld, commit

pytestmark = pytest.mark.kernel

_MANY = tuple(t.AddCounter(f"c{number}") for number in range(500))


def test_without_the_privilege_the_remedy_is_said(namespace: str) -> None:
    program = (
        "from enforcer.kernel.nft import NftKernel\n"
        "from enforcer.errors import KernelError\n"
        "try:\n    NftKernel().read()\n"
        "except KernelError as error:\n    print(error.errno, error)\n"
    )
    done = subprocess.run(
        [
            *("ip", "netns", "exec", namespace),
            *("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"),
            *(sys.executable, "-c", program),
        ],
        capture_output=True,
        text=True,
        timeout=patient(20),
        check=True,
    )
    assert done.stdout == (
        f"{errno.EPERM} read: Operation not permitted; needs CAP_NET_ADMIN in this network "
        "namespace; run as the service does, or root\n"
    )


def test_a_namespace_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KernelError) as caught:
        NftKernel("enforcer-no-such-namespace")
    assert caught.value.errno == errno.ENOENT


def deafen(kernel: t.Kernel) -> None:
    """Shrinks the receive buffer so that most acknowledgements are lost (ENOBUFS)."""
    assert isinstance(kernel, NftKernel)
    own = kernel._netfilter._socket
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def test_a_commit_whose_answers_are_lost_is_judged_by_the_kernel(real_world: RealWorld) -> None:
    commit(real_world, t.CreateTable())
    deafen(real_world.kernel)
    real_world.kernel.commit(
        t.Transaction(real_world.kernel.generation(), _MANY), real_world.now_ns()
    )
    fresh = NftKernel(real_world.namespace)
    assert fresh.read().counters == {counter.name for counter in _MANY}
    fresh.close()


def test_a_refusal_is_noticed_though_its_answer_is_lost(real_world: RealWorld) -> None:
    commit(real_world, t.CreateTable())
    deafen(real_world.kernel)
    with pytest.raises(KernelError):
        real_world.kernel.commit(
            t.Transaction(real_world.kernel.generation(), (*_MANY, t.FlushChain("nope"))),
            real_world.now_ns(),
        )
    fresh = NftKernel(real_world.namespace)
    assert fresh.read().counters == frozenset()
    fresh.close()


def test_a_map_that_does_not_hold_what_it_should_is_an_error(real_world: RealWorld) -> None:
    held, promised = v.RegisteredMap(e.many4(10)), v.RegisteredMap(e.many4(12))
    nothing = v.RegisteredMap(e.stage4({}))
    commit(real_world, t.CreateTable(), t.AddSet(held), t.Load(held))
    with pytest.raises(KernelError) as caught:
        commit(real_world, t.Change(promised, removed=nothing, added=nothing))
    assert caught.value.errno == errno.EIO


def test_an_element_that_a_delta_did_not_take_out_is_an_error(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, promised = v.RegisteredMap(e.many4(10)), v.RegisteredMap(e.many4(9))
    last = v.RegisteredMap(e.stage4({int(held.stage.keys[9]): int(held.stage.classes[9])}))
    nothing = v.RegisteredMap(e.stage4({}))
    commit(real_world, t.CreateTable(), t.AddSet(held), t.Load(held))
    change = t.Change(promised, removed=last, added=nothing)
    with monkeypatch.context() as forgetful:
        forgetful.setattr("enforcer.kernel.steps.encode_bulk", lambda _: [])
        with pytest.raises(KernelError, match="read back other elements") as caught:
            commit(real_world, t.AddCounter("c"), change)
    assert caught.value.errno == errno.EIO
    commit(real_world, change)


def test_elements_that_a_delta_puts_back_with_another_class_are_there(
    real_world: RealWorld,
) -> None:
    held, wanted = v.RegisteredMap(e.many4(1100)), v.RegisteredMap(e.many4(1500, class_id=7))
    assert held.name == wanted.name
    commit(real_world, t.CreateTable(), t.AddSet(held), t.Load(held))
    commit(real_world, t.Change(wanted, removed=held, added=wanted))
    first = next(iter(e.many4(1, class_id=7).keys)).tobytes()[::-1]
    assert real_world.kernel.elements(wanted.name, [first]) == {first: 7}


def test_the_kernel_disarms_a_window_by_itself_and_never_late(real_world: RealWorld) -> None:
    ends_ns = real_world.now_ns() + 400_000_000
    arming = v.ArmingSet("ddos", ends_ns, None)
    commit(real_world, t.CreateTable(), t.AddSet(arming), t.Arm(arming))
    deadline = time.monotonic() + 10
    while real_world.kernel.read().sets["armed.ddos"].elements:
        # An element that a read still shows was there after the read began.
        began_ns = real_world.now_ns()
        shown = real_world.kernel.read().sets["armed.ddos"].elements
        assert not shown or began_ns < ends_ns
        assert time.monotonic() < deadline


@pytest.mark.alone
def test_a_load_in_front_of_an_arming_does_not_make_it_late(real_world: RealWorld) -> None:
    target = v.RegisteredMap(e.many4(200_000, step=1))
    now_ns = real_world.now_ns()
    arming = v.ArmingSet("ddos", now_ns + 60 * e.MINUTE_NS, None)
    operations = (t.CreateTable(), t.AddSet(target), t.Load(target), t.AddSet(arming))
    change = t.Transaction(real_world.kernel.generation(), (*operations, t.Arm(arming)))
    real_world.kernel.commit(change, real_world.now_ns())
    # What is left is told in jiffies: of an instant between two, up to a tick (4 ms at HZ=250) too
    # much. So many reads, each at another instant of its tick; the smallest sum is the true end.
    ends_ns = min(shown_end_ns(real_world) for _ in range(60))
    assert now_ns + 59 * e.MINUTE_NS < ends_ns <= arming.ends_ns


def shown_end_ns(world: RealWorld) -> int:
    """The later end of the elements of `armed.ddos`, not later than by what a tick hides."""
    time.sleep(0.0007)
    asked_ns = world.now_ns()
    elements = world.kernel.read().sets["armed.ddos"].elements
    return asked_ns + max(left_ns for _, left_ns, _ in elements)  # type: ignore[misc]


def test_five_hundred_messages_and_their_names_fit_one_batch(real_world: RealWorld) -> None:
    commit(real_world, t.CreateTable(), *_MANY)
    assert real_world.kernel.counters() == {counter.name: (0, 0) for counter in _MANY}
