"""A small hub on loopback: list of files, redirect to a second address, ranges, and faults on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """What the servers hold, what they shall do wrong, and what they were asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.repository = "society/tiny-GGUF"
        self.break_after: list[int] = []  # bytes after which the next answers break off
        self.statuses: list[int] = []  # statuses that the next downloads get first
        self.listed_sha256: dict[str, str] = {}
        self.listing: object = None
        self.asked: list[tuple[str, str, str | None, str | None]] = []  # server, path, Range, Authorization
        self.ignores_ranges = False

    def list_files(self) -> object:
        if self.listing is not None:
            return self.listing
        rows = [{"type": "directory", "path": "docs"}, {"type": "file", "path": "README.md", "size": 5}]
        for name, content in self.files.items():
            oid = self.listed_sha256.get(name, hashlib.sha256(content).hexdigest())
            rows.append({"type": "file", "path": name, "size": len(content), "lfs": {"oid": oid, "size": len(content)}})
        return rows


def answering(hub: Hub, server_name: str, store_address):
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            return

        def reply(self, status, content=b"", **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):
            hub.asked.append((server_name, self.path, self.headers["Range"], self.headers["Authorization"]))
            path = self.path.partition("?")[0]
            if path == f"/api/models/{hub.repository}/tree/main":
                self.reply(200, json.dumps(hub.list_files()).encode(), Content_Type="application/json")
            elif path.startswith(f"/{hub.repository}/resolve/main/"):
                self.reply(302, Location=store_address() + "/store/" + path.rpartition("/")[2])
            elif path.startswith("/store/") and path.removeprefix("/store/") in hub.files:
                self.give(hub.files[path.removeprefix("/store/")])
            else:
                self.reply(404)

        def give(self, content):
            if hub.statuses:
                self.reply(hub.statuses.pop(0))
                return
            start, asked = 0, self.headers["Range"]
            if asked and not hub.ignores_ranges:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                if start >= len(content):
                    self.reply(416)
                    return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if hub.break_after:
                self.wfile.write(content[start : start + hub.break_after.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
            else:
                self.wfile.write(content[start:])

    return Answer


@contextlib.contextmanager
def serve_hub(files: dict[str, bytes]):
    """Yield (hub, its address); files come from a second server, as from a hub's storage."""
    hub = Hub(files)
    servers: list[ThreadingHTTPServer] = []

    def address(number: int) -> str:
        return f"http://127.0.0.1:{servers[number].server_address[1]}"

    for name in ("storage", "hub"):
        server = ThreadingHTTPServer(("127.0.0.1", 0), answering(hub, name, lambda: address(0)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub, address(1)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
