"""HTTP before a program: whoever measures it asks and answers here."""

import http.server
import json


def serve(post, *ports: int):
    """Answers `POST PATH` with what `post(path, body)` gives, for ever. Says on which port, behind `ports`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            try:
                status, answer = 200, post(self.path, body)
            except Exception as error:
                status, answer = 500, repr(error)
            text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(*ports, server.server_port, flush=True)
    server.serve_forever()
