"""A hostile page, which the sandboxed browser visits: it reaches our port, and neither changes nor reads anything."""

import http.server
import threading

import pytest
import wait
from runtime import any_runtime

# What a page can do to another origin without being asked first, and with. Each gives what it learnt.
TRICKS = """async ours => {
  const within = (promise) => Promise.race([promise, new Promise(resolve => setTimeout(resolve, 3000, "silence"))]);
  const call = async (path, init) => {
    try {
      const answer = await fetch(ours + path, init);
      return answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`;
    } catch (error) { return "refused"; }
  };
  const socket = path => within(new Promise(resolve => {
    const socket = new WebSocket(ours.replace("http", "ws") + path);
    socket.onmessage = ({data}) => resolve(`heard ${data}`);
    socket.onopen = () => { socket.send(new Uint8Array(188)); };
    socket.onclose = () => resolve("refused");
  }));
  const load = (kind, path) => within(new Promise(resolve => {
    const element = Object.assign(document.createElement(kind), {onload: () => resolve("loaded"), onerror: () => resolve("refused")});
    element.src = ours + path;
    document.body.append(element);
  }));
  const form = (path, name, value) => within(new Promise(resolve => {
    const frame = Object.assign(document.createElement("iframe"), {name: "f" + Math.random()});
    const form = Object.assign(document.createElement("form"), {method: "POST", action: ours + path, enctype: "text/plain", target: frame.name});
    form.append(Object.assign(document.createElement("input"), {name, value}));
    document.body.append(frame, form);
    frame.onload = () => { try { resolve(frame.contentDocument ? "silence" : "opaque"); } catch { resolve("opaque"); } };
    form.submit();
  }));
  const inputs = "/input/devices/virtual/";
  const evil = '{"audio":{"type":"socket"}}';
  return {
    "text/plain": await call(inputs + "configure", {method: "POST", body: evil}),
    "no-cors": await call(inputs + "configure", {method: "POST", mode: "no-cors", body: evil}),
    "json": await call(inputs + "configure", {method: "POST", body: evil, headers: {"Content-Type": "application/json"}}),
    "stop": await call(inputs + "stop", {method: "POST", mode: "no-cors"}),
    "beacon": String(navigator.sendBeacon(ours + inputs + "stop")),
    "whip": await call("/whip/camera", {method: "POST", body: "v=0", headers: {"Content-Type": "application/sdp"}}),
    "status": await call(inputs + "status"),
    "no-cors status": await call(inputs + "status", {mode: "no-cors"}),
    "metrics": await call("/metrics"),
    "form": await form(inputs + "configure", evil.slice(0, -1) + ',"x":"', '"}'),
    "form stop": await form(inputs + "stop", "a", "b"),
    "publisher": await socket(inputs + "socket/video"),
    "viewer": await socket(inputs + "feed/socket"),
    "events": await within(new Promise(resolve => {
      const events = new EventSource(ours + "/events");
      events.addEventListener("input", ({data}) => resolve(`heard ${data}`));
      events.onerror = () => { events.close(); resolve("refused"); };
    })),
    "image": await load("img", inputs + "status"),
    "script": await load("script", "/stream/list"),
    "asset": await load("script", "/assets/feed.js"),
    "frame": await (async () => {
      const frame = Object.assign(document.createElement("iframe"), {src: ours + inputs + "feed"});
      document.body.append(frame);
      await within(new Promise(resolve => { frame.onload = resolve; }));
      try { return frame.contentWindow.document.title || "opaque"; } catch { return "opaque"; }
    })(),
  };
}"""


@pytest.fixture(scope="module")
def evil_port():
    """A server of the attacker's, on another port of localhost: same site, another origin."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<!doctype html><title>evil</title><body>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture
def victim(crosspoint):
    crosspoint.configure({"type": "socket"})
    crosspoint.call("POST", "/stream/start", {"mode": "socket", "id": "private"})
    return crosspoint


def judge(victim, learnt: dict[str, str]):
    """Nothing was read, and nothing is different."""
    harmless = {"refused", "opaque", "silence"}
    told = {trick: answer for trick, answer in learnt.items() if answer not in harmless and trick != "beacon"}
    assert not told, f"a hostile page learns: {told}"
    status = victim.status()
    assert (status["state"], "audio" in status) == ("running", False), "a hostile page changes the input"
    assert status["stats"]["video_publishers"] == 0 and status["stats"]["feed_viewers"] == 0
    assert list(victim.streams()) == ["private"]


@any_runtime
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_page_of_another_origin_neither_reads_nor_changes(victim, browser, evil_port, host):
    page = browser.new_page()
    try:
        page.goto(f"http://{host}:{evil_port}/")
        judge(victim, page.evaluate(TRICKS, f"http://{host}:{victim.port}"))
    finally:
        page.close()


@any_runtime
def test_name_that_was_rebound_to_us_is_refused(victim, browser):
    """As after DNS rebinding, the page's own origin is our port under the attacker's name: what the browser says of it is "same-origin"."""
    page = browser.new_page()
    try:
        # Chromium itself resolves every name below localhost to this machine.
        address = f"http://evil.localhost:{victim.port}"
        answer = page.goto(f"{address}/livez")
        assert answer.status == 421
        learnt = page.evaluate(TRICKS, address)
        assert all(answer.startswith("421 ") for trick, answer in learnt.items() if trick in ("text/plain", "json", "status", "metrics")), learnt
        wait.until(lambda: victim.status()["state"] == "running", "the input to be as it was")
        refused = {trick for trick, answer in learnt.items() if answer.startswith("421 ")}
        # Its own origin's frames may be looked into: there is an error in them.
        judge(victim, {trick: answer for trick, answer in learnt.items() if trick not in refused | {"no-cors", "stop", "no-cors status", "whip"}})
        assert all(learnt[trick].startswith("421 ") for trick in ("no-cors", "stop", "no-cors status", "whip"))
    finally:
        page.close()
