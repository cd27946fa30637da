"""The console page, worked by hand in Chromium."""

from playwright.sync_api import expect
from runtime import any_runtime


@any_runtime
def test_console_tells_how_things_are_and_its_buttons_work(crosspoint, browser):
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(f"http://{crosspoint.listen}/")
        expect(page.locator("#state")).to_have_text("idle")
        expect(page.locator("#no-streams")).to_be_visible()

        crosspoint.configure({"type": "socket", "format": "mpegts"})
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#ingest")).to_contain_text("/input/devices/virtual/socket/video")
        page.click("#pause")
        expect(page.locator("#state")).to_have_text("paused")
        assert crosspoint.status()["state"] == "paused"
        page.click("#resume")
        expect(page.locator("#state")).to_have_text("running")
        page.click("#stop")
        expect(page.locator("#state")).to_have_text("idle")
        assert "video" not in crosspoint.status()

        page.select_option("#mode", "socket")
        page.fill("#id", "by-hand")
        page.click("#start button")
        entry = page.locator("#streams li", has_text="by-hand")
        expect(entry).to_contain_text("socket")
        assert crosspoint.streams()["by-hand"]["mode"] == "socket"
        page.click("#start button")
        expect(page.locator("#start-error")).to_be_visible()
        # What a call is refused with, Chromium tells, too.
        assert [text for text in said if "409" not in text] == []

        with page.context.expect_page() as opened:
            entry.get_by_text("Watch").click(modifiers=["Control"])
        expect(opened.value.locator("body")).to_have_attribute("data-state", "live")
        opened.value.close()
        expect(entry).to_contain_text("0 viewers")
        entry.get_by_text("Stop").click()
        expect(page.locator("#no-streams")).to_be_visible()
        assert crosspoint.streams() == {}
    finally:
        page.close()
