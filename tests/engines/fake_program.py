"""Stands in for the `wayguard` program under a supervisor: says who it is, answers /readyz, can misbehave.

FAKE_FAULT: `serve_crashes` (every instance ends at once), `migrate_fails`, `stubborn` (ignores SIGTERM).
"""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = os.environ.get("FAKE_FAULT", "")
NAME = os.environ.get("INSTANCE_NAME", "")


class Answers(BaseHTTPRequestHandler):
    """Every GET is answered 200 with the instance's name and what it was told about the client."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{NAME} {self.headers.get('X-Forwarded-For', '-')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    verb = sys.argv[1]
    print(f"{verb} begins", flush=True)
    if verb == "migrate":
        sys.exit(3 if FAULT == "migrate_fails" else 0)
    if verb == "serve" and FAULT == "serve_crashes":
        print("out of paper", flush=True)
        sys.exit(4)
    if verb == "simulate":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        while True:
            time.sleep(60)

    def end(*_: object) -> None:
        if FAULT != "stubborn":
            print(f"{verb} ends", flush=True)
            os._exit(0)

    signal.signal(signal.SIGTERM, end)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers).serve_forever()


if __name__ == "__main__":
    main()
