#!/usr/bin/env python3
"""Creates a store with every kind of content by a released program.

    make.py BINARY FOLDER [CHANGES]

BINARY is the all-in-one `bakehouse` of the version in question. FOLDER receives what
`earlier.rs` unpacks: the compressed database file and the attachments. Only Python's standard
library is needed. Snapshots need at least 104 CHANGES of one order. Content that a version does
not support is left out.
"""

import gzip
import http.client
import http.server
import itertools
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


CALLS = itertools.count()


class WebhookReceiver(http.server.BaseHTTPRequestHandler):
    """Accepts some webhooks and fails others."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response({0: 204, 1: 500, 2: 410}[next(CALLS) % 3])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Program:
    def __init__(self, binary, folder, hook):
        self.binary, self.folder, self.hook = binary, folder, hook
        self.port = free_port()

    def __enter__(self):
        variables = {
            "BAKEHOUSE_DATA_DIR": str(self.folder),
            "BAKEHOUSE_HTTP__BIND": f"127.0.0.1:{self.port}",
            "BAKEHOUSE_WEBHOOK__URLS": f'["http://127.0.0.1:{self.hook}/hook"]',
            "BAKEHOUSE_WEBHOOK__SECRET": SECRET,
            "BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE": "true",
        }
        log = open(self.folder.parent / "log", "a")
        start = lambda more: subprocess.Popen(
            [self.binary], env=os.environ | more, stdout=log, stderr=log
        )
        self.process = start(variables)
        time.sleep(2)
        if self.process.poll() is not None:
            # The version has no webhooks.
            kept = {k: v for k, v in variables.items() if "WEBHOOK" not in k}
            self.process = start(kept)
        for _ in range(300):
            try:
                if self.call("GET", "/health/ready")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        sys.exit("the program does not become ready")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def write(self, method, path, body=None, headers=None):
        """Sends a write; returns its location and status once it is executed or rejected."""
        status, answered, text = self.call(method, path, body, headers)
        if status != 202:
            sys.exit(f"{method} {path}: {status} {text!r}")
        receipt = answered["operation-location"]
        deadline = time.time() + 60
        while receipt and time.time() < deadline:
            status, _, text = self.call("GET", receipt)
            state = status == 200 and json.loads(text)["status"]
            if state in ("executed", "baked", "rejected", "parked"):
                return answered["location"], state
            time.sleep(0.02)
        sys.exit(f"{method} {path}: not executed in time")


def order(number, customer=True):
    body = {
        "products": [
            {"name": "Tea", "price": "3.50", "quantity": number, "sku": "A-1"},
            {"name": "Brötchen ä \"q\"", "price": "0.40"},
        ],
        "reference": f"R-{number}",
        "date": "2026-01-31T12:00:00+01:00",
    }
    if customer:
        body["customer"] = {"id": f"c-{number % 3}", "name": "Ada", "email": "ada@example.org"}
    return body


def place(program, number, **more):
    return program.write("POST", "/order", order(number, **more))[0]


def attach(program, path, name, data):
    boundary = "----" + uuid.uuid4().hex
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
        "content-type: text/plain\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return program.write("POST", f"{path}/attachments", body, kind)


def live(program, many_changes):
    """Creates orders in every state, rejections, files, and an order with a long history."""
    steps = ["paid", "shipped", "delivered"]
    for number in range(1, 5):
        path = place(program, number)
        for status in steps[: number - 1]:
            program.write("PUT", f"{path}/status", {"status": status})
    cancelled = place(program, 5)
    program.write("PUT", f"{cancelled}/status", {"status": "cancelled"})
    refused = program.write("PUT", f"{cancelled}/status", {"status": "paid"})
    assert refused[1] == "rejected", refused
    deleted = place(program, 6, customer=False)
    program.write("DELETE", deleted)
    refused = program.write("PUT", deleted, order(6))
    assert refused[1] == "rejected", refused
    with_files = place(program, 7)
    attach(program, with_files, "note.txt", b"written by an earlier version\n")
    attach(program, with_files, "gone.txt", b"to be taken off\n")
    gone = []
    for _ in range(100):
        _, _, text = program.call("GET", f"{with_files}/attachments")
        files = json.loads(text)
        files = files.get("attachments", files) if isinstance(files, dict) else files
        gone = [file["id"] for file in files if file["name"] == "gone.txt"]
        if gone:
            break
        time.sleep(0.05)
    program.write("DELETE", f"{with_files}/attachments/{gone[0]}")
    long_lived = place(program, 8)
    for number in range(many_changes):
        program.write("PUT", long_lived, order(8 + number % 2))
    keyed = {"idempotency-key": "a-key-of-an-earlier-version"}
    program.write("POST", "/order", order(9), keyed)
    program.write("POST", "/order", order(9), keyed)
    return cancelled.rsplit("/", 1)[-1]


def scheduled(template, entity, version):
    """Returns an accepted operation in the form that the version itself writes."""
    operation = dict(template)
    operation["operation_id"] = operation["correlation_id"] = str(uuid.uuid4())
    operation |= {"entity_id": entity, "operation": "UPDATE", "schema_version": version}
    operation["payload"] = {"command": "set_status", "status": "paid"}
    return json.dumps(operation)


def main(binary, target, many_changes):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WebhookReceiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / "data"
        folder.mkdir()
        with Program(binary, folder, server.server_port) as program:
            entity = live(program, many_changes)
            time.sleep(3)  # for the notifications
        file = folder / "bakehouse.db"
        database = sqlite3.connect(file)
        row = database.execute(
            "SELECT service_name, fingerprint FROM events WHERE position = 1"
        ).fetchone()
        accepted = "2026-01-31T12:00:00.000Z"
        template = {"service_name": row[0], "fingerprint": row[1], "accepted_at": accepted}
        version = database.execute("PRAGMA user_version").fetchone()[0]
        put = lambda text: database.execute("INSERT INTO schedule (operation) VALUES (?)", [text])
        put('{"neither": "one nor the other"}')
        if version >= 4:
            # An operation of a future version is parked, as are its successors.
            put(scheduled(template, entity, 4_000_000))
            put(scheduled(template, entity, 1))
        database.commit()
        database.close()
        with Program(binary, folder, server.server_port):
            time.sleep(3)
        database = sqlite3.connect(file)
        # An operation that was accepted just before the program was stopped.
        database.execute(
            "INSERT INTO schedule (operation) VALUES (?)", [scheduled(template, "nobody", 1)]
        )
        if version >= 6:
            database.executescript(
                "INSERT INTO read_models VALUES ('things', 1, 0, 1, 0);"
                "INSERT INTO generations VALUES ('things', 1, 0, 1);"
                "INSERT INTO followed VALUES ('things', 1, 0, 'order', 'e', 3);"
                "INSERT INTO rows VALUES ('things', 1, 0, 'k', '{\"n\":1}');"
                "INSERT INTO row_links VALUES ('things', 1, 0, 'all', 'k');"
            )
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
        database.close()
        target.mkdir(parents=True, exist_ok=True)
        compressed = gzip.compress(file.read_bytes(), compresslevel=9, mtime=0)
        (target / "bakehouse.db.gz").write_bytes(compressed)
        for path in sorted((folder / "attachments").rglob("*")):
            if path.is_file() and "#" not in path.name:
                kept = target / "attachments" / path.relative_to(folder / "attachments")
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(path.read_bytes())
    print(f"{target}: version {version}, {len(compressed)} bytes")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 3)
