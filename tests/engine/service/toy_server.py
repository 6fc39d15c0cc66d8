"""A model server of a few lines whose probabilities are known exactly, and which fails on demand."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))


def place(letter):
    """Where a character stands in the alphabet; a strange one counts as a question mark."""
    return ALPHABET.index(letter if letter in ALPHABET else "?")


def next_logp(text):
    """Log probability of each character of the alphabet after a text."""
    digest = hashlib.blake2b(text[-12:].encode(), digest_size=32).digest()
    weights = np.random.default_rng(int.from_bytes(digest, "little")).normal(0, 1.5, len(ALPHABET))
    return weights - np.logaddexp.reduce(weights)


def option_logp(prompt, option):
    """Log probability that the answer begins with an option, exactly."""
    return sum(next_logp(prompt + option[:i])[place(letter)] for i, letter in enumerate(option))


class ToyServer:
    """Attributes: faults (popped one per completion), requests (path, body, headers), features, port, url."""

    def __init__(self, features=("echo", "tokens"), port=0):
        self.features, self.faults, self.requests = set(features), [], []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        toy = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                toy.requests.append((self.path, None, dict(self.headers)))
                self.reply(200, {"data": [{"id": "toy"}, {"id": "second"}]} if self.path == "/v1/models" else {})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                toy.requests.append((self.path, body, dict(self.headers)))
                with toy._lock:
                    toy.at_once += 1
                    toy.most_at_once = max(toy.most_at_once, toy.at_once)
                    fault = toy.faults.pop(0) if toy.faults and self.path == "/v1/completions" else None
                try:
                    self.fail(fault) if fault is not None else self.reply(*toy.answer(self.path, body))
                finally:
                    with toy._lock:
                        toy.at_once -= 1

            def fail(self, fault):
                if fault == "drop":
                    self.close_connection = True
                elif fault == "slow":
                    time.sleep(0.6)
                    self.reply(200, {})
                elif isinstance(fault, int):
                    self.reply(fault, {"error": "\x1b[31mbusy"}, {"Retry-After": "0"} if fault == 429 else {})
                else:
                    self.reply(200, fault)

            def reply(self, status, found, headers=()):
                raw = found.encode() if isinstance(found, str) else json.dumps(found).encode()
                self.send_response(status)
                for name, value in {**dict(headers), "Content-Length": len(raw)}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(raw)

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Answer)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path, body):
        if path == "/v1/completions":
            return self._complete(body)
        if path == "/tokenize" and "score" in self.features:
            return 200, {"tokens": [place(letter) for letter in body["prompt"]]}
        if path == "/v1/score" and "score" in self.features:
            rows = [[math.exp(next_logp(item)[label]) for label in body["label_token_ids"]] for item in body["items"]]
            return 200, {"scores": rows}
        if path == "/apply-template" and "template" in self.features:
            return 200, {"prompt": f"<|user|>{body['messages'][0]['content']}<|assistant|>"}
        if path == "/v1/embeddings" and "embed" in self.features:
            return 200, {"data": [{"index": i, "embedding": [3.0, 4.0]} for i in reversed(range(len(body["input"])))]}
        return 404, {"error": "no such path"}

    def _complete(self, body):
        prompt, listed = body["prompt"], body.get("logprobs")
        logp = next_logp(prompt)
        if listed is None:
            return 200, {"choices": [{"text": " hello there.\nmore"}]}
        if "tokens" not in self.features or listed > 100:
            return 400, {"error": f"logprobs = {listed} is too many"}
        best = np.argsort(-logp)[:listed]
        top = {ALPHABET[i]: logp[i] for i in best}
        drawn = ALPHABET[best[0]]
        if not body.get("echo"):
            held = {"tokens": [drawn], "token_logprobs": [logp[best[0]]], "top_logprobs": [top], "text_offset": [0]}
            return 200, {"choices": [{"text": drawn, "logprobs": held}]}
        if "echo" not in self.features:
            return 200, {"choices": [{"text": drawn, "logprobs": None}]}
        whole = prompt + drawn
        numbers = [None, *(next_logp(whole[:i])[place(whole[i])] for i in range(1, len(whole)))]
        if "shifted" in self.features:
            numbers = [None, *numbers[:-1]]
        held = {"tokens": list(whole), "token_logprobs": numbers, "text_offset": list(range(len(whole)))}
        return 200, {"choices": [{"text": whole, "logprobs": held}]}
