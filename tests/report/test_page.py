"""The page in a real browser without network: on a phone and a desk, in the dark and in the light, and under attack."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator

from gpu_runbook.laptop.report.values import ServerReport, moment
from gpu_runbook.protocol.check import Check
from tests.report import made
from tests.report.conftest import DESKTOP, PHONE, Open, Opened, written

pytestmark = pytest.mark.real

SEEN = Path(__file__).with_name("seen.js").read_text(encoding="utf-8")
EVIL = "</script><img src=x onerror=alert(1)>"
HOSTILE = f"{EVIL} \u2028\u2029\u202e\u2066abc ' \" `${{alert(2)}}` &lt; </script ><!--<script> {'verylongword' * 60}"
THREE = (made.week(), made.fresh(), made.unreachable())


@functools.cache
def hostile() -> ServerReport:
    """A server that says the same thing wherever it may say anything."""
    calm = made.week("gpu-1 " + EVIL)
    check = Check(HOSTILE, "critical", HOSTILE, {}, HOSTILE)
    rounds = tuple(
        dataclasses.replace(
            one,
            silent=HOSTILE,
            levels={**one.levels, HOSTILE: "critical", "level": EVIL},
            said={HOSTILE: HOSTILE},
            disk={HOSTILE: 50},
            queues={HOSTILE: one.queues["annotation-queue"]},
            actions=(HOSTILE,),
            alerts=(HOSTILE,),
        )
        for one in calm.rounds[-100:]
    )
    run = dataclasses.replace(
        calm.runs[0],
        action=HOSTILE,
        outcome=HOSTILE,
        who=HOSTILE,
        sentence=HOSTILE,
        changes=tuple(dataclasses.replace(change, service=HOSTILE, tag=HOSTILE) for change in calm.runs[1].changes),
    )
    runs = tuple(dataclasses.replace(run, run=str(number)) for number in range(12))
    strange = dataclasses.replace(run, at=HOSTILE)
    return dataclasses.replace(calm, checks=(check, *calm.checks), rounds=rounds, runs=(*runs, strange))


def seen(opened: Opened, what: str) -> Any:
    opened.page.evaluate(SEEN)
    return opened.page.evaluate(f"seen.{what}()")


def width(node: Locator) -> float:
    box = node.bounding_box()
    assert box
    return box["width"]


def title(node: Locator) -> str:
    return node.get_attribute("title") or ""


def fits(opened: Opened) -> bool:
    return bool(opened.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def left_of(opened: Opened, selector: str) -> list[float]:
    """Where marks lie, in percent of what they lie in."""
    script = "nodes => nodes.map(node => parseFloat(node.style.left))"
    return sorted(opened.page.locator(selector).evaluate_all(script))


def expected(*times: float, length: float = 7 * made.DAY) -> list[Any]:
    return [pytest.approx(100 - (made.END - at) / length * 100, abs=0.1) for at in times]


def test_it_opens_without_a_network_and_without_a_complaint(opened: Open) -> None:
    with opened(THREE) as found:
        assert found.page.title() == "3 servers: critical"
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith("file://")] == []
    assert len(found.requests) == 1


def test_every_plot_is_drawn(opened: Open) -> None:
    with opened([made.week()]) as found:
        canvases = seen(found, "canvases")
    titles = ["Backlog", "Messages handled", "Disk", "GPU use", "GPU memory", "GPU temperature"]
    assert [one["title"] for one in canvases] == titles
    assert all(one["width"] > 300 and one["height"] > 100 for one in canvases)
    assert all(max(one["ink"]) > 100 for one in canvases), canvases


def test_deploys_are_marked_on_the_strips_and_on_every_plot(opened: Open) -> None:
    with opened([made.week()]) as found:
        assert left_of(found, ".track .flag.deploy") == expected(*made.DEPLOYS)
        assert left_of(found, ".overlay .line") == expected(*made.DEPLOYS, made.DEAD)
        for plot in found.page.locator(".plot").all():
            lefts = plot.locator(".marks i").evaluate_all("nodes => nodes.map(node => parseFloat(node.style.left))")
            assert sorted(lefts) == expected(*made.DEPLOYS, made.DEAD)
        assert found.page.locator(".track .flag.rolled-back").count() == 1
        row = found.page.locator(".runs tbody tr").filter(has_text="rolled back")
        assert "annotation-queue: 1.1 → 1.2" in row.inner_text() and "2.1 s" in row.inner_text()
        found.page.locator(".track .flag.rolled-back").click()
        assert row.evaluate("row => row.matches(':target')")


@pytest.mark.parametrize("which", ["three", "hostile", "month"])
def test_nothing_is_wider_than_a_phone(opened: Open, which: str) -> None:
    servers = {"three": THREE, "hostile": (hostile(),), "month": (made.month(8),)}[which]
    with opened(servers, PHONE, has_touch=True, is_mobile=True) as found:
        assert fits(found)
        for details in found.page.locator("details").all():
            details.evaluate("node => { node.open = true; }")
        assert fits(found)
        # A mobile browser zooms out instead of scrolling: nothing may be wider than what was asked for.
        assert found.page.evaluate("innerWidth") == PHONE["width"]
        small = [(name, width, height) for name, width, height in seen(found, "targets") if min(width, height) < 24]
    assert small == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_can_be_read(opened: Open, scheme: str) -> None:
    with opened(THREE, color_scheme=scheme) as found:
        for details in found.page.locator("details").all():
            details.evaluate("node => { node.open = true; }")
        contrasts = seen(found, "contrasts")
        ground = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        canvases = seen(found, "canvases")
    assert len(contrasts) > 150
    assert [(text, round(contrast, 2)) for text, contrast in contrasts if contrast < 4.5] == []
    assert ground == {"dark": "rgb(14, 17, 22)", "light": "rgb(245, 246, 248)"}[scheme]
    assert all(max(one["ink"]) > 100 for one in canvases)


def test_the_button_changes_the_colours_of_text_and_plots_and_remembers_nothing(opened: Open) -> None:
    with opened([made.week()], color_scheme="light") as found:
        button = found.page.get_by_role("button", name="Dark colours")
        button.click()
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
        assert all(max(one["ink"]) > 100 for one in seen(found, "canvases"))  # in the dark scheme's colour by now
        assert [text for text, contrast in seen(found, "contrasts") if contrast < 4.5] == []
        found.page.get_by_role("button", name="Light colours").click()
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(245, 246, 248)"
        assert all(max(one["ink"]) > 100 for one in seen(found, "canvases"))
        assert found.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]


def test_what_a_server_says_is_text_and_nothing_else(opened: Open) -> None:
    with opened([hostile()]) as found:
        found.page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
        body = found.page.locator("body").inner_text()
        assert found.page.locator("img").count() == 0
        assert found.page.locator("[onerror]").count() == 0
        assert found.page.locator(".rows b").first.inner_text().startswith(EVIL)
        assert EVIL in found.page.locator("h2").first.inner_text()
        assert EVIL in found.page.locator(".values button").first.inner_text()
        assert not set("\u2028\u2029\u202e\u2066") & set(body)
        titles = found.page.locator("i.critical").evaluate_all("nodes => nodes.map(node => node.title)")
        assert EVIL in titles[0]
    assert found.complaints == []
    assert len(found.requests) == 1


def test_no_script_runs_but_our_own(opened: Open) -> None:
    add = """() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = true'>");
      return new Promise((resolve) => setTimeout(() => resolve(window.ran), 100));
    }"""
    with opened([made.fresh()]) as found:
        assert found.page.evaluate(add) is None
    assert any("Content Security Policy" in text for text in found.complaints)


def test_a_month_is_small_and_quick(opened: Open) -> None:
    month = made.month(8)
    assert len(month.rounds) > 8500
    assert len(written([month]).encode()) < 1_000_000
    begun = time.monotonic()
    with opened([month]) as found:
        assert time.monotonic() - begun < 5
        assert len(seen(found, "canvases")) == 6
        # Five minutes of a month are a tenth of a pixel, and are seen all the same.
        name = found.page.locator(".lane", has_text=made.ALIVE)
        assert name.locator("i.critical").count() == 1
        assert width(name.locator("i.critical")) >= 3


def test_several_servers_one_of_them_out_of_reach(opened: Open) -> None:
    with opened(THREE) as found:
        overview = found.page.locator(".overview li")
        assert [row.split() for row in overview.locator(".level").all_inner_texts()] == [
            ["warning"],
            ["critical"],
            ["critical"],
        ]
        assert "/azaion is 83 % full" in overview.nth(0).inner_text()
        assert "no answer at 10.0.4.13:22" in overview.nth(2).inner_text()
        overview.nth(2).locator("a").click()
        section = found.page.locator("section:target")
        assert section.locator("h2").inner_text() == "gpu-3"
        assert "It gave no answer." in section.inner_text()
        assert section.locator(".lanes, .plot, table").count() == 0


def test_a_server_without_rounds_runs_and_gpus(opened: Open) -> None:
    with opened([made.fresh()]) as found:
        text = found.page.locator(".server").inner_text()
        assert found.page.locator(".plot, .lanes").count() == 0
    assert "no round yet: fab schedule.install starts them" in text
    assert "no run in this time" in text
    assert "fab deploy creates it" in text
    assert found.complaints == []


def test_the_strips_need_no_javascript(opened: Open) -> None:
    with opened([made.week()], java_script_enabled=False) as found:
        assert width(found.page.locator(".lane .track i.critical").first) >= 3
        assert "The plots need JavaScript" in found.page.locator("noscript").inner_text()
        assert not found.page.locator("#theme").is_visible()


def test_levels_differ_without_their_colours(opened: Open) -> None:
    with opened([made.week()]) as found:

        def looks(selector: str) -> Any:
            node = found.page.locator(f".track {selector}").first
            return node.evaluate(
                "node => [node.getBoundingClientRect().height, getComputedStyle(node).backgroundImage]"
            )

        kinds = [looks(f"i.{kind}") for kind in ("ok", "warning", "critical", "unknown", "skipped", "gap")]
        assert len({(round(height), image.split("(")[0]) for height, image in kinds}) == 6
        hatched = found.page.locator("i.silent").first
        assert "gradient" in hatched.evaluate("node => getComputedStyle(node, '::after').backgroundImage")
        assert "deploys are paused until" in title(hatched)
        gap = found.page.locator("i.gap").first
        assert title(gap).startswith("no round for 55 min")


def test_one_cursor_runs_through_plots_and_strips(opened: Open) -> None:
    with opened([made.week()]) as found:
        times = found.page.locator(".plot .at")
        assert set(times.all_inner_texts()) == {""}
        assert found.page.locator(".readout").inner_text() == "Point at a strip, or tap it, to read what was."
        assert "83 %" in found.page.locator(".values").nth(2).inner_text()
        found.page.locator(".plot .u-over").nth(0).hover(position={"x": 100, "y": 40})
        told = set(times.all_inner_texts())
        assert len(told) == 1 and told != {""}
        assert found.page.locator(".cursor").is_visible()
        found.page.locator("i.critical").nth(1).hover()
        assert "refuses the connection" in found.page.locator(".readout").inner_text()
        assert "19 Apr" in times.nth(5).inner_text()


def test_a_part_of_the_time_can_be_looked_at_closer(opened: Open) -> None:
    with opened([made.week()]) as found:
        label = found.page.locator(".axis .span")
        before = label.inner_text()
        whole = width(found.page.locator("i.critical").nth(1))
        plot = found.page.locator(".plot .u-over").nth(0)
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box
        found.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 20)
        found.page.mouse.down()
        found.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 30, steps=4)
        found.page.mouse.up()
        assert width(found.page.locator("i.critical").nth(1)) == pytest.approx(whole * 5, rel=0.05)
        assert label.inner_text() != before
        found.page.locator(".plot .u-over").nth(4).hover(position={"x": 1, "y": 40})
        assert found.page.locator(".plot .at").nth(4).inner_text().startswith("18 Apr")
        assert found.page.locator(".plot").nth(3).locator(".marks i").count() == 0
        found.page.get_by_role("button", name="all").click()
        assert width(found.page.locator("i.critical").nth(1)) == pytest.approx(whole)
        assert found.page.locator(".plot").nth(3).locator(".marks i").count() == 3
        assert all(max(one["ink"]) > 100 for one in seen(found, "canvases"))


def test_the_keyboard_sees_where_it_is(opened: Open) -> None:
    script = "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]; }"
    with opened(THREE) as found:
        names = []
        for _ in range(16):
            found.page.keyboard.press("Tab")
            names.append(found.page.evaluate("document.activeElement.className || document.activeElement.tagName"))
            assert found.page.evaluate(script) == ["solid", "2px"], names
    assert {"jump", "button", "A", "BUTTON", "SUMMARY"} < set(names)
    assert any(name.startswith("flag deploy") for name in names)


def test_a_line_can_be_hidden(opened: Open) -> None:
    with opened([made.week()]) as found:
        button = found.page.locator(".values").nth(2).get_by_role("button", name="/azaion")
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        assert seen(found, "canvases")[2]["ink"][0] < 100
        button.click()
        assert seen(found, "canvases")[2]["ink"][0] > 100


def test_times_are_utc_and_tell_the_readers_own(opened: Open) -> None:
    with opened([made.week()], timezone_id="Europe/Berlin", locale="en-GB") as found:
        time_node = found.page.locator(".server time").first
        assert time_node.inner_text() == "2026-04-20 10:11:12"
        assert "12:11:12 where you are (Europe/Berlin)" in title(time_node)
    assert moment(made.AT) == made.END


def test_it_prints_in_light_colours(opened: Open) -> None:
    with opened([made.week()], color_scheme="dark") as found:
        found.page.emulate_media(media="print", color_scheme="dark")
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(245, 246, 248)"
        assert not found.page.locator("#theme").is_visible()
        assert DESKTOP["width"] == found.page.evaluate("innerWidth")
