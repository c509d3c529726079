"""Errno of the kernel → the sentence an engineer reads: what failed, why, what to do.

In: the operation that was refused and its errno. Out: the `KernelError` to raise. Callers branch on
`errno` and `operation`; the text is for people only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from enforcer.errors import KernelError
from enforcer.kernel.wire import MALFORMED
from enforcer.ruleset import transaction as t

_REMEDY = {
    errno.EPERM: "needs CAP_NET_ADMIN in this network namespace; run as the service does, or root",
    errno.EACCES: "needs CAP_NET_ADMIN in this network namespace; run as the service does, or root",
    errno.EOPNOTSUPP: "this kernel lacks a part of nf_tables; enable CONFIG_NF_TABLES, "
    "NF_TABLES_INET and NF_TABLES_NETDEV, or load the module nf_tables",
    errno.EPROTONOSUPPORT: "this kernel has no nf_tables; load the module nf_tables",
    errno.ENODEV: "the device is gone; it is armed again once it is back",
    errno.ENFILE: "the set is full; it needs a larger declared size",
    errno.ENOMEM: "the kernel is out of memory for sets; lower registry.kernel_memory",
    errno.ENOBUFS: "the netlink buffer is too small; read the kernel again",
    errno.EMSGSIZE: "the netlink send buffer is too small; it needs CAP_NET_ADMIN to be raised",
    errno.ERESTART: "somebody changed the ruleset meanwhile; read it again and plan anew",
    errno.EINTR: "the ruleset changes faster than it can be read; try again",
    errno.EBUSY: "it is still in use, or another program's; read the kernel again",
    errno.EEXIST: "it is there already; read the kernel again",
    errno.EBADMSG: "the kernel's answer is cut short or not understood; read the kernel again",
    errno.ENOENT: "it is not there; read the kernel again",
}


@contextmanager
def telling(operation: str) -> Iterator[None]:
    """What goes wrong inside with a socket, or with what came from it, is a KernelError."""
    try:
        yield
    except OSError as error:
        raise kernel_error(operation, error.errno or errno.EIO) from None
    except MALFORMED:
        raise kernel_error(operation, errno.EBADMSG) from None


def label(operation: t.Operation) -> str:
    """The operation and what it is about, for people: `AddChain guard.wan0`."""
    name = type(operation).__name__
    match operation:
        case t.AddSet(container=container):
            return f"{name} {container.name}"
        case t.Load(target=target) | t.Change(target=target) | t.Arm(target=target):
            return f"{name} {target.name}"
        case t.PutElements(target=some) | t.TakeElements(target=some):
            return f"{name} {some.name}"
        case t.SetRules(chain=chain):
            return f"{name} {chain.name}"
        case t.AddShaper(shaper=shaper):
            return f"{name} {shaper.device}"
        case t.DeleteShaper(device=device):
            return f"{name} {device}"
        case (
            t.DeleteSet(name=subject)
            | t.AddCounter(name=subject)
            | t.DeleteCounter(name=subject)
            | t.AddChain(name=subject)
            | t.FlushChain(name=subject)
            | t.DeleteChain(name=subject)
        ):
            return f"{name} {subject}"
    return name


def kernel_error(operation: str, number: int, detail: str = "") -> KernelError:
    """The error for `operation` (a label) refused with errno `number`."""
    # ERESTART never leaves the kernel for user space elsewhere, so libc has no good text for it.
    fact = "the generation moved" if number == errno.ERESTART else os.strerror(number)
    remedy = _REMEDY.get(number, "see the kernel's log")
    return KernelError(operation, number, f"{fact}{f' ({detail})' if detail else ''}; {remedy}")
