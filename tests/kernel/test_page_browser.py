"""The status page of the real daemon in a real browser, as a person meets it on a phone and a desk.

With ENFORCER_PICTURES set to a folder, the pictures of the documentation are put there
(`make pictures`).
"""

from __future__ import annotations

import itertools
import json
import os
import struct
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.clock import SystemClock
from enforcer.control import ask
from tests.cli.cli_worlds import MAIN, window_text
from tests.kernel.browser import Browser, chromium
from tests.kernel.conftest import made_namespace
from tests.kernel.daemon_process import Gateway, eventually, knock

pytestmark = [pytest.mark.kernel, pytest.mark.not_emulated("a browser takes minutes to begin")]

URL = "http://127.0.0.1:9435/"
PHONE, DESK = 360, 1280
EVIL = "DDoS <script>document.title='owned'</script><img src=x>"
# As if something kept the clock right: the page is then that of a well-kept gateway. The tracer is
# the daemon's grandchild (-D), so that whoever ends the daemon ends both.
CLOCK_IS_RIGHT = (
    *("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull),
    *("-e", "trace=adjtimex,clock_adjtime", "-e", "inject=adjtimex,clock_adjtime:retval=0"),
)
# What the documentation shows: a name, and how far down.
PICTURES = {(DESK, False): ("status-desk", 1460), (PHONE, True): ("status-phone", 1340)}
COME_BACK = "document.dispatchEvent(new Event('visibilitychange')) && undefined"
RECURRING = """\
- id: exam-mornings
  reason: Nationwide exams, the mornings are crowded
  declared_by: noc@isp.example
  reference: NOC-2290
  rrule: FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR
  start: "{start:%Y-%m-%d}T04:00:00"
  duration: 3h
  timezone: Asia/Karachi
  measures:
    mark: {{dscp: cs5}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[Gateway]:
    """One daemon for all that follows: a window that is on, one that is over, some ahead."""
    with made_namespace() as namespace:
        made = Gateway(namespace, folder)
        try:
            made.write(main=_main(), windows=_windows(), registry=_registry())
            made.start(*CLOCK_IS_RIGHT)
            eventually(made.armed, "the window opens")
            for _ in range(40):
                knock(namespace)
            yield made
        finally:
            made.close()


def _main() -> str:
    return MAIN.replace(
        "[software-house, freelancer]", "[software-house, freelancer, call-centre, mission]"
    ).replace("require_synchronised_clock: false", "require_synchronised_clock: true")


def _windows(reason: str = "DDoS on the VPN concentrators, 40 Gbit/s of UDP") -> str:
    now = SystemClock().now().replace(microsecond=0)
    day = timedelta(days=1)

    def plain(name: str, reason: str, starts: timedelta, lasts: timedelta) -> str:
        text = window_text(name, now + starts, now + starts + lasts, "UTC")
        mark = "    mark: {fwmark: 0x51}\n"
        head = text.split("  measures:")[0].replace("reason: attack", f'reason: "{reason}"')
        return f"{head}  measures:\n{mark}"

    karachi = timedelta(hours=5)
    ddos = window_text(
        "ddos",
        now - timedelta(minutes=70) + karachi,
        now + timedelta(minutes=50) + karachi,
        "Asia/Karachi",
        more="    reserve: {link: wan, share: 40%}\n",
    ).replace("reason: attack", f'reason: "{reason}"')
    return "".join((
        ddos,
        plain("cable-works", "Works on the western cable", 4 * day, 2 * day),
        plain("line-card", "A line card is exchanged", -5 * day, day / 2),
        plain("new-moon", "Standby for a holiday", 14 * day, day) + "  provisional: true\n",
        # A day on which there is an exam, whatever day it is today.
        RECURRING.format(start=now - (21 + now.weekday()) * day),
    ))  # fmt: skip


def _registry() -> str:
    rows = ["id,prefix,category,valid_from,valid_until,services"]
    rows += [f"S-{n},100.64.{n // 16}.{n % 16 * 16}/28,software-house,,," for n in range(1600)]
    rows += [f"F-{n},100.96.{n // 200}.{n % 200}/32,freelancer,,,udp/51820" for n in range(900)]
    rows += [f"C-{n},100.112.{n}.0/24,call-centre,,," for n in range(40)]
    rows += ["R-1,198.51.100.0/24,software-house,,,", "M-1,2001:db8:5::/48,mission,,,"]
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def browser(gateway: Gateway, folder: Path) -> Iterator[Browser]:
    with chromium(folder, ("ip", "netns", "exec", gateway.namespace)) as made:
        yield made


def keep(browser: Browser, name: str, high: int | None = None) -> None:
    """A picture; it is kept for the documentation when it is wanted there."""
    data = browser.picture(high)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    wide, tall = struct.unpack(">II", data[16:24])
    assert wide in (PHONE, DESK)
    assert tall == high or high is None
    if "ENFORCER_PICTURES" in os.environ:
        (Path(os.environ["ENFORCER_PICTURES"]) / f"{name}.png").write_bytes(data)


def fine(browser: Browser) -> None:
    """Nothing sticks out, nothing is asked of anybody else, nothing is red in the console."""
    assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    outside = browser.run(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('svg, .skip') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []
    assert browser.complaints() == []
    asked = [url for url in browser.asked_for() if not url.startswith(("data:", URL))]
    assert asked == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_fits_and_is_quiet(browser: Browser, width: int, dark: bool) -> None:
    browser.look(width, dark=dark)
    browser.open(URL)
    fine(browser)
    assert browser.run("document.title") == "enforcer on edge-1"
    assert "All that is wanted is in force." in browser.run("document.body.innerText")
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(","))) / 3
    assert (light < 60) if dark else (light > 220)
    if (width, dark) in PICTURES:
        keep(browser, *PICTURES[width, dark])


def test_the_timeline_is_drawn_where_now_is(browser: Browser) -> None:
    browser.look(PHONE)
    browser.open(URL)
    drawn = browser.run(
        "[...document.querySelectorAll('.chart .b')].map(e => [e.getAttribute('class').slice(2),"
        "e.getBoundingClientRect().left, e.getBoundingClientRect().right])"
    )
    kinds = {kind for kind, _, _ in drawn}
    assert kinds == {"armed", "next", "past", "provisional"}
    here = browser.run("document.querySelector('.chart .now').getBoundingClientRect().left")
    for kind, left, right in drawn:
        assert right > left, "to be seen, however short"
        assert (left <= here + 2) if kind in ("armed", "past") else (left >= here - 2)


def test_a_keyboard_opens_the_table_and_it_stays_open_when_the_page_renews_itself(
    browser: Browser,
) -> None:
    browser.look(DESK)
    browser.open(URL)
    browser.run("document.querySelector('#occurrences summary').focus()")
    browser.key("Enter")
    browser.key(" ")
    browser.run("document.getElementById('occurrences').open = true")
    # As when somebody comes back to it: it renews itself at once, not only every ten seconds.
    as_of = "document.getElementById('when').textContent"
    first = browser.run(as_of)
    eventually(lambda: browser.run(COME_BACK) or browser.run(as_of) != first)
    assert browser.run("document.getElementById('occurrences').open")
    assert browser.run("document.activeElement.closest('details')?.id") == "occurrences"
    assert browser.run("document.getElementById('stale').hidden")
    fine(browser)


def test_the_self_check_has_its_section_and_agrees_with_the_status_port(
    browser: Browser, gateway: Gateway
) -> None:
    browser.look(PHONE)

    def told() -> dict[str, str]:
        browser.open(URL)
        shown = browser.run("document.getElementById('samples').closest('section').innerText")
        lines = str(shown).splitlines()
        return dict(itertools.pairwise(lines))

    def agree() -> bool:
        """Packets go on coming: they are asked for before and after."""
        counts, shown = gateway.status()["samples"], told()
        return bool(
            counts["judged"]
            and shown["Seen"].startswith(f"{counts['seen']:,} packet")
            and shown["Judged again"].startswith(f"{counts['judged']:,} packet")
        )

    # Forty packets were held back; at most ten a second of a kind are told of.
    eventually(agree, "the page tells what the port does")
    assert told()["Differ"] == "none"
    fine(browser)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_explain_is_asked_by_clicking_and_says_what_the_command_says(
    browser: Browser, gateway: Gateway, width: int
) -> None:
    browser.look(width, high=640)
    browser.open(URL)
    browser.type("#ask-address", "198.51.100.7")
    browser.type("#ask-to", "203.0.113.5")
    browser.type("#ask-service", "udp/51820")
    browser.events.clear()
    browser.click("form button")
    browser.wait("Page.loadEventFired")
    fine(browser)
    assert browser.run("location.search") == (
        "?address=198.51.100.7&to=203.0.113.5&service=udp%2F51820&at="
    )
    told = browser.run("document.querySelector('main').innerText")
    said = gateway.run(
        "explain", "198.51.100.7", "--to", "203.0.113.5", "--service", "udp/51820",
        "--format", "json",
    )  # fmt: skip
    answer = json.loads(said.stdout)
    assert answer["verdict"].replace("_", " ") in told
    for text in (*answer["steps"], "198.51.100.0/24: R-1, software-house, any service"):
        assert text in told
    assert "198.51.100.7: holds software-house" in told
    assert answer["agrees"]
    if width == DESK:
        keep(browser, "explain-desk")


def test_nonsense_is_answered_in_the_form_and_nothing_asked_is_in_the_log(
    browser: Browser, gateway: Gateway
) -> None:
    browser.look(PHONE)
    browser.open(f"{URL}explain?address=198.51.100.300&to=%3Cscript%3Edocument.title%3D1")
    response = browser.wait("Network.responseReceived")["params"]["response"]
    assert response["status"] == 400
    # A browser itself notes an answer of 400 in red; there is nothing else.
    assert [c for c in browser.complaints() if "400" not in c] == []
    assert browser.run("document.title") == "enforcer on edge-1"
    assert "'198.51.100.300' is not an IP address; write it like" in browser.run(
        "document.querySelector('[role=alert]').innerText"
    )
    assert browser.run("document.querySelector('[aria-invalid]').value") == "198.51.100.300"
    assert browser.run("document.getElementById('ask-to').value").startswith("<script>")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    for asked in ("198.51.100", "203.0.113.5", "explain"):
        assert asked not in gateway.said()


def test_what_an_operator_wrote_is_text_and_a_mistake_is_told_in_full(
    browser: Browser, gateway: Gateway
) -> None:
    browser.look(PHONE)
    gateway.write_windows(_windows(EVIL))
    (gateway.folder / "windows.d" / "bad.yaml").write_text("- id: <b>x</b>\n")
    refused = ask(gateway.run_dir, "reload")["error"]
    browser.open(URL)
    fine(browser)
    told = browser.run("document.body.innerText")
    assert "What the files hold is refused; what was accepted before stays in force." in told
    assert browser.run("document.querySelector('#reload ~ pre').textContent") == refused
    assert len(refused.splitlines()) > 3
    (gateway.folder / "windows.d" / "bad.yaml").unlink()
    assert ask(gateway.run_dir, "reload")["error"] is None
    browser.open(URL)
    fine(browser)
    assert EVIL in browser.run("document.querySelector('main').innerText")
    assert browser.run("document.title") == "enforcer on edge-1"
    assert browser.run("document.images.length") == 0


def test_without_script_everything_is_there(browser: Browser) -> None:
    browser.look(PHONE)
    browser.without_script(True)
    try:
        browser.open(URL)
        assert "All that is wanted is in force." in browser.run("document.body.innerText")
        assert browser.run("document.querySelectorAll('.chart .b').length") > 4
    finally:
        browser.without_script(False)


def test_a_page_left_open_says_when_the_daemon_is_gone(browser: Browser, gateway: Gateway) -> None:
    """The last one: it ends the daemon."""
    browser.look(DESK)
    browser.open(URL)
    for process in gateway.processes:
        process.kill()
        process.wait()
    stale = "document.getElementById('stale')"
    eventually(lambda: browser.run(COME_BACK) or not browser.run(f"{stale}.hidden"))
    assert browser.run(f"{stale}.textContent").startswith("Not renewed since 20")
