#!/usr/bin/env python3
"""Serves the camera check page on localhost, where browsers let a page open cameras. Prints its address, then serves until it is ended."""

import functools
import http.server
import pathlib
import sys


class Page(http.server.SimpleHTTPRequestHandler):
    """Files of this folder, never from a cache, without a line for every request."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format, *args):
        pass


def server(port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server bound to 127.0.0.1, not running yet; port 0 picks one."""
    page = functools.partial(Page, directory=str(pathlib.Path(__file__).resolve().parent))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), page)


if __name__ == "__main__":
    serving = server(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"http://localhost:{serving.server_port}/", flush=True)
    serving.serve_forever()
