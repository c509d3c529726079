"""The report in a real browser, on a phone and a desk: whole, and with nothing asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer.cli.main import main
from tests.kernel.browser import Browser, chromium
from tests.observe.report_worlds import month, written

pytestmark = [pytest.mark.kernel, pytest.mark.not_emulated("a browser takes minutes to begin")]

# Widths of the page, and whether the eyes want it dark.
LOOKS = [(360, False), (1280, False), (1280, True)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    state = written(folder / "state", month())
    path = folder / "report.html"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ENFORCER_STATE_DIR", str(state))
        arguments = ["--from", "2026-09-15", "--to", "2026-10-15T12:00:00Z", "--html", str(path)]
        assert main(["report", *arguments]) == 0
    return path


def test_it_fits_asks_for_nothing_and_runs_nothing(page: Path) -> None:
    with chromium(page.parent) as browser:
        for width, dark in LOOKS:
            browser.look(width, dark=dark)
            browser.open(page.as_uri())
            _sound(browser, page, width)
            shot = browser.picture(1400)
            if folder := os.environ.get("ENFORCER_PICTURES"):
                name = f"report-{width}-{'dark' if dark else 'light'}.png"
                (Path(folder) / name).write_bytes(shot)


def _sound(browser: Browser, page: Path, width: int) -> None:
    assert browser.asked_for() == [page.as_uri()]
    assert browser.complaints() == []
    assert browser.run("document.title") == "Windows of gateway edge-1.lahore"
    assert browser.run("document.documentElement.scrollWidth") <= width
    bars = "[...document.querySelectorAll('.row svg rect')].map(r => r.getBoundingClientRect())"
    assert browser.run(f"{bars}.every(b => b.left >= 0 && b.right <= {width} && b.width > 0)")
    assert browser.run("document.querySelectorAll('script, img').length") == 0
    assert "<script>document.title" in browser.run("document.body.innerText")
