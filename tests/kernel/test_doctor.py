"""`enforcer doctor` on the real kernel: each finding is there when its cause is, and not before."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from enforcer.doctor import look
from tests.cli.cli_worlds import MAIN
from tests.kernel.daemon_process import Gateway, eventually

pytestmark = pytest.mark.kernel

# What the machine that runs the tests is like is no matter here.
OF_THE_MACHINE = {"clock", "unit", "tzdata", "listeners"}
GOOD = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=1")


@pytest.fixture
def sound(gateway: Gateway) -> Gateway:
    """A gateway about which the doctor has little to say."""
    gateway.inside("sysctl", "-qw", *GOOD)
    return gateway


def examined(gateway: Gateway, *argv: str) -> list[dict[str, Any]]:
    done = gateway.run("doctor", "--format", "json", *argv)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 1), done.stderr
    found = [f for f in answer["findings"] if f["check"] not in OF_THE_MACHINE]
    assert answer["ok"] or any(f["level"] == "fail" for f in answer["findings"])
    return found


def wrong(gateway: Gateway, *argv: str) -> dict[str, str]:
    """`check about` → fact, of what is not ok."""
    return {
        f"{f['check']} {f['about']}": f["fact"]
        for f in examined(gateway, *argv)
        if f["level"] != "ok"
    }


UNCHECKED6 = "rp_filter uplink wan0"


def test_a_sound_gateway_and_nothing_of_it_is_changed(sound: Gateway) -> None:
    def all_of_it() -> list[str]:
        commands = ("nft list ruleset", "tc qdisc show", "ip -d link show", "sysctl -a -r ^net")
        shown = [sound.inside(*command.split()) for command in commands]
        # The sockets that asked leave their mark in counts of buffers and of tracked flows.
        return [line for line in "\n".join(shown).splitlines() if "_count" not in line]

    sound.inside("nft", "add table inet other")
    before = all_of_it()
    found = examined(sound)
    facts = [f["fact"] for f in found if (f["check"], f["level"]) == ("kernel", "ok")]
    assert "takes the whole ruleset of all measures" in facts[0]
    assert facts[1:] == [
        "works at 1,000,000,000 bit/s",
        "packets are parked while a root qdisc is exchanged",
        "headers can be sampled (NFLOG)",
    ]
    assert [(f["check"], f["fact"][:4]) for f in found if f["level"] != "ok"] == [
        ("rp_filter", "IPv6")
    ]
    assert all_of_it() == before
    assert sound.ruleset() == "table inet other {\n}\n"


def test_foreign_chains_that_drop(sound: Gateway) -> None:
    rules = sound.folder / "rules.nft"
    rules.write_text("""\
table inet fw {
  map by_source { type ipv4_addr : verdict; elements = { 192.0.2.1 : drop, 192.0.2.2 : goto deep } }
  chain deep {
    counter reject
  }
  chain forward {
    type filter hook forward priority 10; policy drop;
    ct state established accept
  }
  chain maps {
    type filter hook prerouting priority -400;
    ip saddr vmap @by_source
  }
  chain last_word {
    type filter hook postrouting priority 5;
    ip daddr 192.0.2.9 accept
    counter drop
  }
  chain marks {
    type filter hook forward priority 0;
    udp dport 53 meta mark set 7
  }
  chain harmless {
    type filter hook forward priority 20;
    counter accept
  }
}
table ip asleep {
  flags dormant
  chain forward {
    type filter hook forward priority 0; policy drop;
  }
}
table netdev early {
  chain wan {
    type filter hook ingress device wan0 priority 0;
    ip protocol gre drop
  }
}
table ip6 checked {
  chain sources {
    type filter hook prerouting priority -300;
    fib saddr . iif oif missing drop
  }
}
""")
    sound.inside("nft", "-f", str(rules))
    sound.inside("iptables-nft", "-A", "FORWARD", "-s", "192.0.2.7", "-j", "REJECT")
    found = wrong(sound)
    after = "after enforcer, whose letting in does not bind it)"
    before = "before enforcer, which never sees what it drops)"
    assert found == {
        "chains inet fw forward": "drops all that no rule of it accepts (hook forward, priority "
        f"10, {after}",
        "chains inet fw maps": "2 rules of it or behind it may drop (hook prerouting, priority "
        f"-400, {before}",
        "chains inet fw last_word": "drops all that no rule of it accepts (hook postrouting, "
        f"priority 5, {after}",
        "chains netdev early wan": "1 rule of it or behind it may drop (hook ingress, priority 0, "
        + before,
        "chains ip6 checked sources": "1 rule of it or behind it may drop (hook prerouting, "
        f"priority -300, {after}",
        "chains ip filter FORWARD": "1 rule of it or behind it may drop (hook forward, priority "
        f"0, {after}",
        "marks inet fw marks": "1 rule of it or behind it set the packet mark after enforcer did "
        "(hook forward, priority 0)",
    }


def test_iptables_legacy_is_seen_too(sound: Gateway) -> None:
    sound.inside("iptables-legacy", "-P", "FORWARD", "DROP")
    found = wrong(sound)
    found.pop(UNCHECKED6)
    assert found == {
        "legacy iptables-legacy filter FORWARD": "drops all that no rule of it accepts, whatever "
        "enforcer lets in"
    }


def test_a_foreign_root_qdisc_and_ours(sound: Gateway) -> None:
    sound.inside("tc", "qdisc", "add", "dev", "wan0", "root", "handle", "1:", "htb")
    found = wrong(sound)
    assert found["qdisc link wan (wan0)"].startswith("the root qdisc htb 1: is another program's")
    sound.inside("tc", "qdisc", "del", "dev", "wan0", "root")
    sound.start()
    assert "qdisc link wan (wan0)" not in wrong(sound)
    (root,) = [f["fact"] for f in examined(sound) if f["check"] == "qdisc"]
    assert root == "enforcer's own HTB"


def test_forged_sources_forwarding_and_mtu(sound: Gateway) -> None:
    sound.inside("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.wan0.rp_filter=0")
    sound.inside("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    sound.inside("ip", "link", "set", "wan0", "mtu", "1400")
    facts = [f["fact"] for f in examined(sound) if f["level"] != "ok"]
    assert [fact.partition(": ")[0] for fact in facts] == [
        "1400, others carry up to 1500",
        "IPv4",
        "IPv6",
        "off",
    ]
    assert facts[1].startswith("IPv4: off: anybody who can send packets")
    sound.inside("sysctl", "-qw", "net.ipv4.conf.wan0.rp_filter=2")
    loose = [f["fact"] for f in examined(sound) if f["check"] == "rp_filter"]
    assert loose[0].startswith("IPv4: loose, which a default route makes worth nothing")
    sound.inside("sysctl", "-qw", "net.ipv4.ip_forward=0")
    assert sum(f["level"] == "fail" for f in examined(sound)) == 2, "neither family passes"


def test_uplinks_that_are_down_or_not_there(sound: Gateway) -> None:
    sound.inside("ip", "link", "set", "wan0", "down")
    assert wrong(sound)["device uplink wan0"] == "is down"
    sound.inside("ip", "link", "set", "wan0", "up")
    sound.inside("ip", "link", "set", "wan0-peer", "down")
    assert wrong(sound)["device uplink wan0"] == "is up, without a carrier"
    sound.write(main=MAIN.replace("uplinks: [wan0]", "uplinks: [wan0, ppp7]"))
    done = sound.run("doctor", "--no-trial")
    assert done.returncode == 1
    assert "uplink ppp7: does not exist, so nothing that comes in by it is guarded" in done.stdout
    assert "→ create it, or name one of those there are: lan0, lan0-peer, wan0" in done.stdout
    assert "takes the whole ruleset" not in done.stdout


def test_daemons_and_a_table_that_is_not_ours(sound: Gateway) -> None:
    first = sound.start()
    (running,) = [f for f in examined(sound) if f["check"] == "daemon"]
    assert running["fact"].endswith(" runs")
    # As one would be that knows nothing of the name which ours holds.
    older = sound.folder / "older" / "enforcer"
    older.parent.mkdir()
    older.write_text("import time\ntime.sleep(600)\n")
    inside = ["ip", "netns", "exec", sound.namespace]
    second = subprocess.Popen([*inside, sys.executable, str(older), "run"])
    sound.processes.append(second)
    eventually(lambda: "daemon None" in wrong(sound))
    fact = wrong(sound)["daemon None"]
    assert fact.startswith("2 daemons run in this network namespace (processes ")
    for process in (first, second):
        process.kill()
        process.wait()
    sound.inside("nft", "delete table inet enforcer; add table inet enforcer")
    assert wrong(sound)["daemon None"].startswith("a table inet enforcer of somebody else's")


@contextmanager
def listening(namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    """`nft monitor` in a namespace, once it listens."""
    command = ("ip", "netns", "exec", namespace, "nft", "monitor")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as monitor:
        try:
            eventually(lambda: any(e.process == monitor.pid for e in look.listeners()))
            yield monitor
        finally:
            monitor.kill()


def listeners(gateway: Gateway) -> dict[int | None, dict[str, Any]]:
    """Process → finding. Others on this machine may listen as well."""
    found = json.loads(gateway.run("doctor", "--format", "json", "--no-trial").stdout)["findings"]
    wanted = [f for f in found if f["check"] == "listeners" and f["level"] == "warning"]
    return {
        int(told[1]) if (told := re.match(r"process (\d+) ", f["fact"])) else None: f
        for f in wanted
    }


def test_whoever_listens_to_changes_is_told_wherever_it_is(sound: Gateway) -> None:
    other = f"{sound.namespace}-b"
    subprocess.run(("ip", "netns", "add", other), check=True)
    try:
        with listening(sound.namespace) as near, listening(other) as far:
            found = listeners(sound)
            for monitor, where in ((near, ""), (far, " of another network namespace")):
                finding = found[monitor.pid]
                who = f"process {monitor.pid} (nft){where} listens to changes of nf_tables: "
                assert finding["fact"].startswith(who)
                assert f"kill {monitor.pid};" in finding["remedy"]
        assert {near.pid, far.pid} & listeners(sound).keys() == set()
    finally:
        subprocess.run(("ip", "netns", "delete", other), check=False)


def test_the_daemon_of_this_gateway_is_no_stranger(sound: Gateway) -> None:
    daemon = sound.start()
    sockets = sound.inside("cat", "/proc/net/netlink").splitlines()[1:]
    groups = [int(line.split()[3], 16) for line in sockets if line.split()[1] == "12"]
    assert any(mask & 1 << 6 for mask in groups), "it does listen"
    assert daemon.pid not in listeners(sound)


def test_without_rights_and_with_a_bad_configuration(sound: Gateway) -> None:
    bare = sound.run("doctor", before=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))
    assert bare.returncode == 1
    assert "no CAP_NET_ADMIN: the kernel's rules can be neither read nor changed" in bare.stdout
    assert "cannot be read: Operation not permitted" in bare.stdout
    assert "run it as root" in bare.stdout
    assert "nothing could be tried in a namespace: Operation not permitted" in bare.stdout
    assert "Errno" not in bare.stdout
    assert "Traceback" not in bare.stderr
    sound.write(main="version: 1\ngateway: {name: x}\n")
    done = sound.run("doctor")
    assert done.returncode == 1
    assert f"{sound.config}: " in done.stdout.replace("\n" + " " * 21, " ")
    assert "see all: enforcer check --config" in done.stdout.replace("\n" + " " * 21, " ")
