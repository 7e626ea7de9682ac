"""Report pages in headless Chromium: at both widths nothing is cut off, in light and in dark."""

import json
import re
import subprocess
from html import escape, unescape

import pytest

from analysis import compare, report_run
from tests.analysis.fake_runs import gossip_trace, info_of, write_pair, write_run
from tests.analysis.report.test_report import add_memory, add_network

MEASURE = """
<script>
const page = document.documentElement, width = page.clientWidth;
const named = each => each.textContent.trim().slice(0, 60);
const boxes = [...document.querySelectorAll("table")].map(each => each.closest(".scroll"));
const cells = [...document.querySelectorAll("th, td, pre, p, li, .tile, figcaption")];
const shown = cells.filter(each => each.getClientRects().length && !each.closest("details:not([open])"));
const told = {
  width, page: page.scrollWidth,
  cut: boxes.filter(each => each.scrollWidth > each.clientWidth).map(named),
  spilt: shown.filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth).map(named),
  outside: shown.filter(each => each.getBoundingClientRect().right > width + 0.5).map(named),
  background: getComputedStyle(document.body).backgroundColor,
};
parent.document.body.dataset.told = JSON.stringify(told);
</script>
"""
"""What is too wide: the page, a table's box, a cell's text. Written where the dump of the frame's page shows it."""

FRAME = """<!doctype html>
<html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"></head>
<body><iframe style="border: 0" width="{width}" height="2000" srcdoc="{page}"></iframe></body></html>
"""
"""A page within a page, since no window of Chromium is less than 500 pixels wide."""

DARK = "--blink-settings=preferredColorScheme=0"
SCHEMES = {"light": ("--blink-settings=preferredColorScheme=1", 245), "dark": (DARK, 18)}
"""With the red of the page's background."""


def looked_at(page, place, width, scheme):
    copy = place / "looked_at.html"
    measured = page.read_text().replace("<details>", "<details open>").replace("</body>", f"{MEASURE}</body>")
    copy.write_text(FRAME.format(width=width, page=escape(measured)))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", scheme]
    command += [f"--user-data-dir={place / 'profile'}", "--hide-scrollbars", "--dump-dom", copy.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    return json.loads(unescape(re.search(r'<body data-told="([^"]*)"', dumped)[1]))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    place = tmp_path_factory.mktemp("pages")
    sim, real = write_pair(place)
    add_network(sim)
    add_memory(sim)
    add_memory(real)
    scenario = info_of()["scenario"]
    none = {**scenario, "platform": {**scenario["platform"], "transport": "none"}}
    null = write_run(place / "null", gossip_trace(transfer_ms=0.001), scenario=none)
    return {
        "comparison": compare(sim, real, place / "comparison", null=null).files[0],
        "simulated": report_run(sim, place / "simulated").files[0],
        "measured": report_run(real, place / "measured").files[0],
    }


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1300, 400])
@pytest.mark.parametrize("name", ["comparison", "simulated", "measured"])
def test_nothing_is_cut(pages, tmp_path, name, width, scheme):
    option, red = SCHEMES[scheme]
    told = looked_at(pages[name], tmp_path, width, option)
    assert told["width"] == told["page"] == width
    assert (told["cut"], told["spilt"], told["outside"]) == ([], [], [])
    assert told["background"].startswith(f"rgb({red}, ")


@pytest.mark.browser
def test_what_is_too_wide_is_seen(tmp_path):
    """A page that does cut a column: else the test above could not fail."""
    page = tmp_path / "page.html"
    wide = "<td style='white-space: nowrap'>" + "wide " * 100 + "</td>"
    box = f"<div class='scroll' style='overflow-x: auto'><table><tr>{wide}</tr></table></div>"
    page.write_text(f"<!doctype html><html><body>{box}</body></html>")
    told = looked_at(page, tmp_path, 400, DARK)
    assert len(told["cut"]) == len(told["outside"]) == 1
