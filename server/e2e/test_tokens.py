"""Pages that are opened with a token in their address work wholly: what they call, they call with it."""

import contextlib
import threading

import pytest
from crosspoint import VIDEO, Crosspoint, send_pictures
from playwright.sync_api import expect
from runtime import any_runtime

TOKEN = "control-of-everything"
VIEWER = "only-for-looking"


@pytest.fixture(scope="module")
def server(folder, env):
    flags = ["--token", TOKEN, "--token", f"view:{VIEWER}", "--microphone", "off"]
    crosspoint = Crosspoint(folder / "tokens", "epoll", env, flags=flags)
    crosspoint.token = TOKEN
    yield crosspoint
    crosspoint.end()


@pytest.fixture
def visit(server, browser):
    """Opens pages, and holds each answer that they get to being no refusal."""
    pages, refused = [], []

    def hear(page):
        page.on("response", lambda answer: refused.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
        pages.append(page)
        return page

    def visit(path: str):
        page = hear(browser.new_page())
        page.goto(f"http://{server.listen}{path}")
        return page

    browser.on("page", hear)
    yield visit
    browser.remove_listener("page", hear)
    for page in pages:
        page.close()
    assert refused == []


@any_runtime
def test_console_and_what_it_leads_to_work_by_the_token_in_their_address(server, visit):
    console = visit(f"/?access_token={TOKEN}")
    expect(console.locator("#state")).to_have_text("idle")
    for mode in ("socket", "webrtc"):
        console.select_option("#mode", mode)
        console.fill("#id", f"by-{mode}")
        console.click("#start button")
        entry = console.locator("#streams li", has_text=f"by-{mode}")
        with console.context.expect_page() as opened:
            entry.get_by_text("Watch").click(modifiers=["Control"])
        expect(opened.value.locator("body")).to_have_attribute("data-state", "live", timeout=20_000)
        opened.value.close()
        entry.get_by_text("Stop").click()
        expect(entry).to_have_count(0)
    # An event of somebody else's, by its own token.
    server.configure({"type": "socket", "format": "mpegts"})
    expect(console.locator("#state")).to_have_text("running")
    for link in ("api", "metrics"):
        answer = console.request.get(f"http://{server.listen}{console.locator(f'#{link}').get_attribute('href')}")
        assert answer.status == 200, link
    server.input("stop")


@any_runtime
def test_feed_page_shows_the_feed_by_a_viewers_token(server, visit, clips):
    server.configure({"type": "socket", "format": "mpegts"})
    page, stop = visit(f"/input/devices/virtual/feed?access_token={VIEWER}"), threading.Event()
    with contextlib.ExitStack() as ends:
        publisher = ends.enter_context(server.publisher(f"{VIDEO}?access_token={TOKEN}"))
        sender = threading.Thread(target=send_pictures, args=(publisher, clips.video()), kwargs={"fps": 30, "stop": stop.is_set})
        sender.start()
        ends.callback(sender.join)
        ends.callback(stop.set)
        expect(page.locator("#notice")).to_be_hidden(timeout=20_000)
    server.input("stop")
