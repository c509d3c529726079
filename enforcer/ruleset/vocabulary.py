"""The closed vocabulary of our rules. What is not here cannot be said to the kernel.

Promise 5 begins here: there is a word for interface, address, protocol, port, TCP flags and time
(the arming set), and none for content. Each word has one nft syntax (`render`) and one sequence of
nf_tables expressions (`lower`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from enforcer.lookup.tables import Stage
from enforcer.policy.prefix import Family, Prefix

Side = Literal["saddr", "daddr"]
Port = Literal["sport", "dport"]
_Answer = TypeVar("_Answer")


# --- matches: a packet that does not fit leaves the rule --------------------------------------


@dataclass(frozen=True, slots=True)
class IsFamily:
    """`meta nfproto ipv4`"""

    family: Family


@dataclass(frozen=True, slots=True)
class IifName:
    """`iifname "wan0"`"""

    device: str


@dataclass(frozen=True, slots=True)
class OifName:
    """`oifname "wan0"`"""

    device: str


@dataclass(frozen=True, slots=True)
class AddressIn:
    """`ip daddr 203.0.113.0/28`"""

    side: Side
    prefix: Prefix


@dataclass(frozen=True, slots=True)
class MaskedIn:
    """`ip saddr & 255.255.255.0 @lifelines4-24`: a hash set of addresses masked to one length."""

    side: Side
    family: Family
    length: int
    set_name: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """`meta l4proto udp`"""

    number: int


@dataclass(frozen=True, slots=True)
class PortIn:
    """`th dport 5000-5100`, or one port when first equals last."""

    port: Port
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PortInSet:
    """`th dport @services.concentrators.udp`: a 16-bit set, a bitmap in the kernel."""

    port: Port
    set_name: str


@dataclass(frozen=True, slots=True)
class HasTransport:
    """`@th,0,24 >= 0`: the transport header is in this packet, which is no later fragment.

    Wherever ports or flags are asked for: the kernel's short loads (1, 2 or 4 bytes) take a later
    fragment's content for its ports, and of IPv6 the header's first bytes; a load of 3 does not
    (docs/decisions/0015). Behind the ports, so that only those that fit pay for it.

    Where the packet is known to be IPv4 (`family` 4), its fragment offset is asked instead,
    `@nh,48,16 & 0x1fff == 0`: the same answer for a tenth of the cost.
    """

    family: Literal[4] | None = None


@dataclass(frozen=True, slots=True)
class TcpStart:
    """`tcp flags & (syn | ack) == syn`: a segment that opens a connection."""


@dataclass(frozen=True, slots=True)
class Armed:
    """`meta nfproto @armed.WINDOW`: true while the kernel's own timer keeps the window armed."""

    window: str

    @property
    def set_name(self) -> str:
        return armed_set(self.window)


@dataclass(frozen=True, slots=True)
class OneIn:
    """`meta random & 0x3f == 0`: one packet in `number`, a power of two, by chance. In front of a
    `Sample` only (`sampling`): nothing else may depend on it.
    """

    number: int

    def __post_init__(self) -> None:
        if self.number < 1 or self.number & self.mask:
            raise ValueError(f"one in {self.number}: not a power of two")

    @property
    def mask(self) -> int:
        return self.number - 1


# --- the registered lookup --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakeClass:
    """`meta priority set ip saddr & 255.255.255.0 map @reg4-24`: a match and a note.

    A packet whose address is not in the stage leaves the rule, as does one that is when `window`
    is given and not armed (asked after the address, so that only hits pay for it). Otherwise the
    class stands in skb->priority until `DropClass` or `SetPriority`, always within one hook. (Why
    this field, and no nested map: docs/decisions/0003.)
    """

    side: Side
    family: Family
    length: int
    map_name: str
    window: str | None = None


@dataclass(frozen=True, slots=True)
class FrontIn:
    """`@nh,96,16 @front4`: the /16 of an IPv4 address, in a bitmap of the kernel.

    A filter in front of the lookup, not a match on its own: of an IPv6 packet these are bytes of
    its source address, and the rules behind ask for the family again.
    """

    side: Side


@dataclass(frozen=True, slots=True)
class ByClass:
    """`meta priority vmap @mark.WINDOW.classes4`: to the chain of the packet's class."""

    map_name: str


@dataclass(frozen=True, slots=True)
class NoteClass:
    """`meta priority set cfac:bf79`: another class in the note, that of a category."""

    class_id: int


@dataclass(frozen=True, slots=True)
class DropClass:
    """`meta priority set 0:0`: the note is wiped out."""


# --- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Count:
    """`counter name "guard/ddos/held_back/ip4/unregistered"`: a named counter object."""

    counter: str


@dataclass(frozen=True, slots=True)
class SetMark:
    """`meta mark set 0x00000051`"""

    fwmark: int


@dataclass(frozen=True, slots=True)
class SetDscp:
    """`ip dscp set cs5`"""

    family: Family
    dscp: int


@dataclass(frozen=True, slots=True)
class SetPriority:
    """`meta priority set 1:10`: straight to a class of the link's HTB."""

    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Sample:
    """`limit rate 10/second burst 10 packets log prefix "…" group 58608 snaplen 24`: the packet's
    header is told to whoever listens, at most `rate` times a second; the packet goes on as it was.

    `label` says what the rules do to it (`SampleName`). Of a packet no more is told than its IP
    header and the four bytes behind it, which of every protocol are header (docs/decisions/0028).
    """

    label: str
    family: Family
    rate: int

    @property
    def header_bytes(self) -> int:
        return SAMPLED_BYTES[self.family]


@dataclass(frozen=True, slots=True)
class Jump:
    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    chain: str


@dataclass(frozen=True, slots=True)
class Accept:
    pass


@dataclass(frozen=True, slots=True)
class Return:
    pass


@dataclass(frozen=True, slots=True)
class Drop:
    pass


Match = (
    IsFamily
    | IifName
    | OifName
    | AddressIn
    | MaskedIn
    | Protocol
    | PortIn
    | PortInSet
    | HasTransport
    | TcpStart
    | Armed
    | OneIn
    | FrontIn
    | TakeClass
)
Action = (
    ByClass
    | NoteClass
    | DropClass
    | Count
    | SetMark
    | SetDscp
    | SetPriority
    | Sample
    | Jump
    | Goto
    | Accept
    | Return
    | Drop
)
Statement = Match | Action
MATCHES = (
    IsFamily,
    IifName,
    OifName,
    AddressIn,
    MaskedIn,
    Protocol,
    PortIn,
    PortInSet,
    HasTransport,
    TcpStart,
    Armed,
    OneIn,
    FrontIn,
    TakeClass,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Statements from left to right: the first match that fails ends the rule."""

    statements: tuple[Statement, ...]


# --- containers -------------------------------------------------------------------------------

HookName = Literal["ingress", "prerouting", "postrouting"]


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain is called. `device` only at ingress. The policy is always accept."""

    name: HookName
    priority: int
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A base chain when it has a hook; otherwise reached by jump, goto or class map."""

    name: str
    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None
    # What was found out about these rules once and is asked at every step; never part of them.
    _known: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, hash=False
    )

    def once(self, question: str, answer: Callable[[Chain], _Answer]) -> _Answer:
        """What `answer` says of this chain, found once: it must depend on the chain alone."""
        if question not in self._known:
            self._known[question] = answer(self)
        found: _Answer = self._known[question]
        return found

    @property
    def words(self) -> frozenset[type]:
        """The kinds of statements that its rules say: whoever looks for one sees here whether
        there is any. A registry can bring hundreds of chains without most of them.
        """
        return self.once("words", _words)

    @property
    def counters(self) -> frozenset[str]:
        """The counters that its rules count in."""
        return self.once("counters", _counters)


def _words(chain: Chain) -> frozenset[type]:
    return frozenset(type(s) for rule in chain.rules for s in rule.statements)


def _counters(chain: Chain) -> frozenset[str]:
    return frozenset(s.counter for r in chain.rules for s in r.statements if isinstance(s, Count))


KeyType = Literal["ipv4_addr", "ipv6_addr", "inet_service", "nf_proto", "classid", "half"]
KEY_BYTES: dict[KeyType, int] = {
    "ipv4_addr": 4,
    "ipv6_addr": 16,
    "inet_service": 2,
    "nf_proto": 1,
    "classid": 4,
    "half": 2,
}
# Values of <linux/netfilter.h>: what `meta nfproto` yields.
NFPROTO: dict[Family, int] = {4: 2, 6: 10}


@dataclass(frozen=True, slots=True)
class SmallSet:
    """A set of a few elements, held and compared in full. Keys are packed in network order."""

    name: str
    key: KeyType
    elements: tuple[bytes, ...]

    @property
    def size(self) -> int:
        # All ports: only then does the kernel prefer its bitmap to a hash (nft_select_set_ops).
        return 1 << 16 if self.key == "inet_service" else table_size(len(self.elements))

    @property
    def keys(self) -> tuple[bytes, ...]:
        return self.elements


_CLASSES = 256


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A verdict map from class id to a chain: `goto` each, or `jump` each."""

    name: str
    elements: tuple[tuple[int, str], ...]
    verdict: Literal["goto", "jump"] = "goto"

    @property
    def size(self) -> int:
        # Room for whatever classes come and go: a map that is there stays as long as they fit
        # (`diff`), for made anew it is empty to packets on their way (docs/decisions/0045).
        return max(_CLASSES, table_size(len(self.elements)))

    @property
    def keys(self) -> tuple[int, ...]:
        return tuple(class_id for class_id, _ in self.elements)


@dataclass(frozen=True, slots=True)
class ArmingSet:
    """The set `armed.WINDOW`: both families while armed, on the kernel's own timer.

    `ends_ns` is the window's end and `lease_ns` how long it stays armed without the daemon (None:
    until its end), in nanoseconds since the epoch and nanoseconds. The kernel's timeout is the
    smaller of what is left to the end and the lease.
    """

    window: str
    ends_ns: int
    lease_ns: int | None

    @property
    def name(self) -> str:
        return armed_set(self.window)

    @property
    def size(self) -> int:
        return table_size(len(NFPROTO))

    def timeout_ns(self, now_ns: int) -> int:
        """What is left to run at `now_ns`; zero or less means that it must not be armed."""
        left = self.ends_ns - now_ns
        return left if self.lease_ns is None else min(left, self.lease_ns)


@dataclass(frozen=True, slots=True)
class RegisteredMap:
    """A stage of the registered lookup as a map of the kernel: masked address → class id.

    Compared by the stage's digest, never element by element. The name carries family, length and
    size, so that a stage which outgrows its map gets a new one and both exist for one transaction.
    """

    stage: Stage

    @property
    def size(self) -> int:
        return table_size(len(self.stage))

    @property
    def name(self) -> str:
        return f"reg{self.stage.family}-{self.stage.length}-{self.size}"

    @property
    def key(self) -> KeyType:
        return "ipv4_addr" if self.stage.family == 4 else "ipv6_addr"


@dataclass(frozen=True, slots=True)
class FrontSet:
    """The set `front4`: the upper halves of the /16s in `stage` (`Tables.front`). Compared by the
    stage's digest. A key of two bytes and no timeout makes the kernel take a bitmap of 16 KB.
    """

    stage: Stage

    @property
    def name(self) -> str:
        return FRONT

    @property
    def size(self) -> int:
        return 1 << 16

    @property
    def key(self) -> KeyType:
        return "half"


Bulk = RegisteredMap | FrontSet
Container = SmallSet | ClassMap | ArmingSet | RegisteredMap | FrontSet


@dataclass(frozen=True, slots=True)
class Shaper:
    """HTB on a link: class 1:10 for registered traffic, class 1:20 for the rest, both may borrow
    all of `rate_bps` (work-conserving). Bits per second, rounded down to the kernel's whole bytes.
    """

    device: str
    rate_bps: int
    registered_bps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate_bps", self.rate_bps & ~7)
        object.__setattr__(self, "registered_bps", self.registered_bps & ~7)

    @property
    def rest_bps(self) -> int:
        return self.rate_bps - self.registered_bps


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything of ours in the kernel at one instant. Names are unique; order of containers and
    counters carries no meaning, order of rules in a chain does.
    """

    containers: tuple[Container, ...] = ()
    chains: tuple[Chain, ...] = ()
    counters: tuple[str, ...] = ()
    shapers: tuple[Shaper, ...] = ()
    _index: dict[str, Chain] = field(
        default_factory=dict, init=False, repr=False, compare=False, hash=False
    )

    def __post_init__(self) -> None:
        self._index.update((chain.name, chain) for chain in self.chains)

    def chain(self, name: str) -> Chain | None:
        return self._index.get(name)


# An IP header without options, and four bytes: both ports, or what ESP, GRE and ICMP begin with.
SAMPLED_BYTES: dict[Family, int] = {4: 24, 6: 44}
# Of the 65,536 groups of NFLOG ours, as the HTB has its handle.
SAMPLE_GROUP = 0xE4F0
TABLE = "enforcer"
LEDGER_CHAIN = "ledger"
FRONT = "front4"


def armed_set(window: str) -> str:
    return f"armed.{window}"


def table_size(count: int) -> int:
    """The declared size of a hash: a power of two with a quarter to spare, 16 at least.

    The kernel refuses elements beyond it and sizes its buckets by it (nft_hash_buckets), so it is
    given always, and in coarse steps so that small updates fit the map that is there. A small table
    gets four times the room: most buckets are empty then, and a miss ends at the first of them.
    """
    spread = 4 if count <= 1 << 16 else 1
    return max(16, spread << (count + count // 4).bit_length())


# Our HTB is told apart by its handle; `meta priority` names its classes directly.
SHAPER_MAJOR = 0xE4F0
REGISTERED_MINOR = 0x10
REST_MINOR = 0x20
