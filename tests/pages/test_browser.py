"""Both pages in a browser: with mouse and keyboard, on a phone, in the dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from grap_seq.pages import report
from grap_seq.pages.comparison import compare
from tests.evaluation.fake import belong
from tests.pages.chromium import chromium
from tests.pages.fake import evaluation, finished_run, label_curve
from tests.pages.runs import write_run

pytestmark = pytest.mark.xdist_group("browser")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("browser")
    run, prepared = finished_run(folder)
    (run / "evaluation.json").write_text(json.dumps(evaluation(label_curve=label_curve())))
    belong(run, prepared)
    for weighting in ("equal", "grap"):
        write_run(folder / "runs" / weighting, weighting)
    return {"run": report(run, prepared), "comparison": compare([f"{folder}/runs/*"])}


@pytest.fixture(scope="module")
def browser() -> Generator[Browser, None, None]:
    with chromium() as found:
        yield found


@pytest.fixture(params=["run", "comparison"])
def opened(
    request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Path]
) -> Generator[Open, None, None]:
    """Opens a page; fails on any message of the console, and on any request for something else."""
    contexts, said, asked = [], [], []
    address = pages[request.param].as_uri()

    def open_page(width: int = 1000, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {address}


def focused(page: Page, what: str) -> str:
    return str(page.evaluate(f"document.activeElement.{what}"))


def test_the_keyboard_reaches_everything_in_order(opened: Open) -> None:
    page = opened()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    expected = page.locator("a, summary, .scroll, picture.drawn").count()
    heights = []
    for place in range(expected):
        page.keyboard.press("Tab")
        if place == 0:
            assert focused(page, "textContent") == "Skip to the results"
            assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(style) == "solid", focused(page, "outerHTML")
        heights.append(float(focused(page, "getBoundingClientRect().y")) + page.evaluate("scrollY"))
    # From top to bottom: the eye need not jump.
    assert heights[1:] == sorted(heights[1:])
    page.keyboard.press("Tab")
    assert focused(page, "tagName") == "BODY"


def test_the_skip_link_leads_to_the_results(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page, "className") == "scroll"


def test_pointing_shows_the_value_and_leaving_hides_it(opened: Open) -> None:
    page = opened()
    for picture in page.locator("section > figure .drawn").all():
        words, image = picture.locator(".words"), picture.locator("img")
        assert words.is_hidden()
        told = json.loads(picture.locator("script").text_content() or "")["wide"]
        line = next(line for line in told if line["points"])
        left, top, text = line["points"][0]
        image.scroll_into_view_if_needed()
        box = image.bounding_box()
        assert box is not None
        page.mouse.move(
            box["x"] + left * box["width"] / 1000, box["y"] + top * box["height"] / 1000
        )
        assert words.is_visible()
        shown = words.inner_text().splitlines()
        # Others may lie on the same point.
        names = [one["name"] for one in told for point in one["points"] if point[:2] == [left, top]]
        assert shown[0] in names
        assert text in ("", shown[-1])
    page.mouse.move(1, 1)
    assert not page.locator(".words").filter(visible=True).count()


def test_arrows_go_from_point_to_point(opened: Open) -> None:
    page = opened()
    picture = page.locator("section > figure .drawn").first
    told = json.loads(picture.locator("script").text_content() or "")["wide"]
    words = picture.locator(".words")
    picture.focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(words.inner_text().splitlines()[-1])
    texts = [point[2] for point in told[0]["points"]]
    assert seen == [*texts[:2], texts[0], texts[0], told[1]["points"][0][2], texts[0]]
    page.keyboard.press("Escape")
    assert words.is_hidden()


def test_the_dark_is_dark_in_figures_too(opened: Open) -> None:
    def background(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background(opened()) == "rgb(255, 255, 255)"
    page = opened(scheme="dark")
    assert background(page) == "rgb(20, 20, 20)"
    filters = "[...document.images].map((image) => getComputedStyle(image).filter)"
    assert set(page.evaluate(filters)) == {"invert(0.92) hue-rotate(180deg)"}


def test_a_phone_shows_all_without_scrolling_sideways(opened: Open) -> None:
    page = opened(width=360)
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    outside = """[...document.querySelectorAll("main *")].filter((element) =>
        !element.closest(".scroll, pre") && element.getBoundingClientRect().right > 360
    ).map((element) => element.outerHTML)"""
    assert page.evaluate(outside) == []
    narrow = "[...document.images].map((image) => image.currentSrc.length)"
    wide = "[...document.images].map((image) => image.src.length)"
    assert page.evaluate(narrow) != page.evaluate(wide)
    picture = page.locator("section > figure .drawn").first
    picture.focus()
    page.keyboard.press("ArrowRight")
    box = picture.locator(".words").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360


def test_what_got_into_the_page_neither_runs_nor_fetches(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    foreign = '<script>document.title = "ran"</script><img src="x" onerror="document.title = 1">'
    foreign += '<img src="http://127.0.0.1:9/pixel">'
    changed = tmp_path / "report.html"
    changed.write_text(pages["run"].read_text("utf-8").replace("<main>", f"<main>{foreign}"))
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(changed.as_uri())
    assert page.title() == "toy: run"
    refused = "\n".join(text for text in said if "Content Security Policy" in text)
    assert "script-src" in refused
    assert "http://127.0.0.1:9/pixel" in refused
    page.close()
