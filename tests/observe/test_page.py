"""The live page in a real browser (streams/observe/page): what people see in each state of a worker.

Set LOCKSTEP_SHOTS to a folder to get a picture of every state.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.observe.browser import Worker, browsing

pytestmark = [pytest.mark.slow]

HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>\u202e&lt;b&gt;'
SHOWN = HOSTILE.replace("\u202e", "\\u202e")
"""What turns the direction of text is written as its number."""
WAIT_MS = 20_000


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[Worker]:
    one = Worker()
    await one.start()
    yield one
    await one.stop()


async def shot(page: Page, name: str) -> None:
    """Keep a picture for whoever wants to look."""
    if folder := os.environ.get("LOCKSTEP_SHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


async def says(page: Page, verdict: str) -> None:
    """Wait until the page's verdict is this."""
    await expect(page.locator("#verdict .words")).to_have_text(verdict, timeout=WAIT_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_worker_that_serves_shows_a_rate_on_each_arrow(worker: Worker, scheme: str) -> None:
    """Rates come from the differences of counters; nothing is asked of any other host, nothing complains."""
    async with browsing(worker, scheme=scheme) as (page, complaints):
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        await says(page, "serving")
        arrow = page.locator("#picture g", has_text="ingest.requests").locator(".rate")
        await expect(arrow).to_have_text(re.compile(r"^(4[5-9]|5[0-5])/s$"), timeout=WAIT_MS)
        updates = page.locator("#picture g", has_text="inbox.updates").locator(".rate")
        await expect(updates).to_have_text(re.compile(r"^(9\d|10\d|11\d)/s$"), timeout=WAIT_MS)
        await expect(page.locator("#latency li").first).to_be_visible()
        await expect(page.locator("#shards tr")).to_have_count(4)
        await expect(page.locator("#age")).to_have_text("figures of this second")
        await shot(page, f"serving-{scheme}")
        assert {re.sub(r"^http://127\.0\.0\.1:\d+", "", url) for url in asked} == {"/lockstep/live"}
        assert complaints == []


async def test_what_strangers_sent_is_text_wherever_it_stands(worker: Worker) -> None:
    """Dead letters, details of shards and names are shown as they are, and never run."""
    letter = {
        "code": "UNDECODABLE",
        "topic": "ingest.requests",
        "partition": 2,
        "offset": 7,
        "at_ms": 1_795_000_000_000,
    }
    worker.own = {
        "dead_letters": [{**letter, "detail": HOSTILE}, {**letter, "detail": "x" * 300, "topic": HOSTILE}],
        "shards": [worker.shard(0, "failed", detail=HOSTILE)],
        "worker": HOSTILE,
    }
    async with browsing(worker) as (page, complaints):
        await says(page, "0 of 1 shards open")
        first = page.locator("#dead tr").first
        assert await first.locator("td").last.text_content() == SHOWN
        assert SHOWN in (await page.locator("#reasons").text_content() or "")
        assert "\u202e" not in await page.evaluate("document.body.textContent")
        assert await page.evaluate("window.pwned") is None
        assert await page.locator("main img, main script").count() == 0
        await shot(page, "hostile")
        assert complaints == []


async def test_a_connection_that_is_lost_is_said_with_the_age_of_the_figures_until_it_is_back(
    worker: Worker,
) -> None:
    """What stands there stays, greyed, and nobody takes it for the present."""
    async with browsing(worker) as (page, _):
        await says(page, "serving")
        await worker.stop()
        await says(page, "connection lost")
        await expect(page.locator("#lost")).to_be_visible()
        await expect(page.locator("#age")).to_have_text(re.compile(r"^figures are \d+(\.\d)? s old$"))
        await expect(page.locator("#figures")).to_have_class(re.compile("stale"))
        await expect(page).to_have_title("✕ Lockstep: connection lost")
        await shot(page, "lost")
        await worker.start()
        await says(page, "serving")
        await expect(page.locator("#lost")).to_be_hidden()


async def test_a_broker_that_is_away_is_the_verdict_and_its_reason_is_named(worker: Worker) -> None:
    """In words, not by a colour alone."""
    worker.own = {"broker": "waiting: the broker has not answered for 9 s"}
    async with browsing(worker, scheme="dark") as (page, _):
        await says(page, "not serving: the broker is away")
        reasons = page.locator("#reasons li")
        await expect(reasons).to_have_text(
            "worker-0 (pipeline): waiting: the broker has not answered for 9 s"
        )
        await shot(page, "broker-away")


async def test_shards_that_are_not_open_say_how_far_they_are(worker: Worker) -> None:
    """A restore shows its progress, a failure its code, a shard without a worker that nobody has it."""
    worker.shards = 4
    worker.own = {
        "shards": [
            worker.shard(0),
            worker.shard(1, "opening", rows_read=12_345, rows_total=50_000),
            worker.shard(2, "failed", detail="STORE_FULL: no space left on device"),
        ]
    }
    worker.others = [{"worker": "store-0", "app": "store", "pid": 4712, "is_silent": True}]
    async with browsing(worker) as (page, _):
        await says(page, "not serving: store-0 does not answer")
        rows = page.locator("#shards tr")
        await expect(rows).to_have_count(8)
        await expect(rows.nth(1)).to_contain_text("restored 12,345 of 50,000 records")
        await expect(rows.nth(2)).to_contain_text("failed")
        await expect(rows.nth(3)).to_contain_text("unowned")
        await expect(rows.nth(3)).to_contain_text("no worker that answers has it")
        await shot(page, "not-open")


async def test_a_shard_says_who_keeps_its_copy_and_how_far_that_is_behind(worker: Worker) -> None:
    """A copy that does not follow yet is said to be opening; a shard without one has a dash."""
    worker.shards = 4
    copies = [{"shard": 0, "behind": 1_234}, {"shard": 1, "behind": None}]
    worker.others = [{**worker.figures(worker="worker-1", shards=[]), "standbys": copies}]
    async with browsing(worker) as (page, complaints):
        await says(page, "serving")
        cells = page.locator("#shards tr td:nth-child(8)")
        await expect(cells).to_have_text(
            ["worker-1, 1,234 behind", "worker-1, opening", NOTHING_YET, NOTHING_YET]
        )
        await shot(page, "copies")
        assert complaints == []


async def test_a_worker_without_shards_stands_by(worker: Worker) -> None:
    """More workers than shards is nothing bad."""
    worker.own = {"shards": []}
    async with browsing(worker) as (page, complaints):
        await says(page, "standing by: no shard is assigned to this worker")
        await expect(page.locator("#shards-words")).to_have_text("none assigned to this worker")
        await shot(page, "no-shards")
        assert complaints == []


async def test_rates_begin_anew_with_a_new_process(worker: Worker) -> None:
    """Counters that fall back to 0 make no rate below 0, and no jump."""
    worker.began_at -= 10_000
    async with browsing(worker) as (page, _):
        arrow = page.locator("#picture g", has_text="ingest.requests").locator(".rate")
        await expect(arrow).to_have_text(re.compile(r"^(4[5-9]|5[0-5])/s$"), timeout=WAIT_MS)
        await page.evaluate(NOTE_RATES)
        worker.began_at += 10_000
        worker.own = {"started_at_ms": 5}
        rates: list[str] = []
        async with asyncio.timeout(WAIT_MS / 1_000):
            while len(rates) < 6:
                rates = await page.evaluate("window.rates")
        assert NOTHING_YET in rates
        assert all(rate == NOTHING_YET or 40 <= float(rate) <= 60 for rate in rates), rates


@pytest.mark.parametrize("width", [360, 820])
async def test_a_narrow_window_shows_everything_without_scrolling_sideways(
    worker: Worker, width: int
) -> None:
    """Where the picture has no room, its table stands in its place."""
    letter = {"code": "UNKNOWN_SCHEMA", "topic": "endpoint.commands", "partition": 2, "offset": 7, "at_ms": 1}
    worker.own = {
        "dead_letters": [{**letter, "detail": "no published schema has the fingerprint " + "0" * 200}]
    }
    async with browsing(worker, width=width) as (page, _):
        await says(page, "serving")
        await expect(page.locator("#dead")).to_contain_text("UNKNOWN_SCHEMA")
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        is_drawn = await page.locator("#picture").is_visible()
        assert is_drawn == (width > 800)
        assert await page.locator("#flows").is_visible() != is_drawn
        await shot(page, f"narrow-{width}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_enough_contrast_and_everything_has_a_name(worker: Worker, scheme: str) -> None:
    """4.5 to 1 for every text on its ground, a scope for every column, a name for every region and progress bar."""
    worker.own = {
        "shards": [
            worker.shard(0),
            worker.shard(1, "opening", rows_read=1, rows_total=5),
            worker.shard(2, "failed", detail="x"),
        ]
    }
    async with browsing(worker, scheme=scheme) as (page, _):
        await says(page, "1 of 3 shards open")
        assert await page.evaluate(CONTRAST) == []
        assert await page.locator("th:not([scope])").count() == 0
        for one in await page.locator("section, [role=region]").all():
            title = await one.get_attribute("aria-labelledby")
            assert (await page.locator(f"#{title}").text_content() or "").strip()
        await expect(page.get_by_role("progressbar", name="restoring shard 1")).to_be_visible()


NOTHING_YET = "\u2013"
NOTE_RATES = """() => {
  window.rates = [];
  new MutationObserver(() => {
    const arrows = [...document.querySelectorAll("#picture g")];
    const arrow = arrows.find((one) => one.textContent.startsWith("ingest.requests"));
    window.rates.push(arrow.querySelector(".rate").textContent.replace("/s", ""));
  }).observe(document.getElementById("picture"), { childList: true });
}"""

CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const bright = (rgb) => {
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const rgb = parse(getComputedStyle(at).backgroundColor);
      if (rgb.length === 3 || rgb[3] > 0) return rgb;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("h1, h2, p, dt, dd, th, td, span, li, a, code, small")) {
    const has_text = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!has_text || !node.getClientRects().length || node.closest(".skip, .hidden")) continue;
    const [light, dark] = [bright(parse(getComputedStyle(node).color)), bright(ground(node))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) poor.push(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
