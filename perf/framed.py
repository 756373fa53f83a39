# SPDX-License-Identifier: Apache-2.0
"""The requests that are sent, as files of the generator: "<bytes> <expected>" and the bytes, one
after the other; expected is what the answer begins with (the status of HTTP, the line of RESP) and,
after a blank, what it must contain. A run of twelve '@' becomes a counter."""
import base64
import json
import os
import random

from peers import HOLD_S, REVOKED_PREFIX, memcached
from peers.portcullis import ISSUER, TOKEN_LIFETIME_S
from peers.redis import words

COUNTER = "@" * 12
ORIGINAL = b"X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /orders/4711\r\n"
RESP_KEY = "bl:" + REVOKED_PREFIX
SCOPES = 12
BATCH = 500  # revocations in one POST /v1/revoke


def read_framed(path):
    with open(path, "rb") as f:
        while head := f.readline():
            size, _, expected = head.decode().rstrip("\n").partition(" ")
            yield f.read(int(size)), expected


def write_framed(path, requests):
    with open(path, "wb") as f:
        for text, expected in requests:
            f.write(f"{len(text)} {expected}\n".encode() + text)
    return path


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Requests:
    """All files of one run. The sizes say how many tokens, how many keys are asked for, and how many
    are revoked."""

    def __init__(self, rig, size):
        self.rig, self.size = rig, size
        self.tokens = self.mint()
        self.good, self.revoked_token = self.tokens[:-1], self.tokens[-1]

    def mint(self):
        """Of about 700 bytes, with every claim a revocation can name; one more than asked for, which is
        revoked, to see it refused."""
        tokens, scopes = self.rig.shared("tokens"), " ".join(f"scope-{i}:read" for i in range(SCOPES))
        self.rig.run("portcullis-load", "mint", "--generate-key", "--key", self.rig.shared("issuer.jwk"),
                     "--jwks", self.rig.shared("jwks.json"), "--issuer", ISSUER, "--lifetime", f"{TOKEN_LIFETIME_S}s",
                     "--scopes", scopes, "--count", str(self.size["tokens"] + 1), "--text", tokens)
        with open(tokens, encoding="ascii") as f:
            return f.read().split()

    def write(self, name, requests):
        path = self.rig.shared(name + ".requests")
        return path if os.path.exists(path) else write_framed(path, requests)

    # --- HTTP ------------------------------------------------------------------------------

    @staticmethod
    def auth_request(token, original=ORIGINAL):
        return (b"GET /v1/auth HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer " + token.encode() +
                b"\r\n" + original + b"\r\n")

    def auth(self):
        """As a gateway asks: the token, and what the original request was."""
        return self.write("full", ((self.auth_request(t), "200") for t in self.good))

    @staticmethod
    def application_request(token, ids=None):
        """What a client sends to a gateway. ids: (jti, subject) in headers, for those that are spared
        reading the token."""
        headers = f"X-Jti: {ids[0]}\r\nX-Subject: {ids[1]}\r\n" if ids else ""
        return (f"GET /orders/4711 HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer {token}\r\n"
                f"{headers}\r\n").encode()

    def application(self, expected="204"):
        return self.write("application-" + expected, ((self.application_request(t), expected) for t in self.good))

    def application_with_ids(self):
        return self.write("application-ids", (
            (self.application_request(t, (claims(t)["jti"], claims(t)["sub"])), "204") for t in self.good))

    @classmethod
    def revoked_application_request(cls, number):
        """Under a token that only those believe who look at no signature."""
        found = {"jti": f"{REVOKED_PREFIX}{number:012}", "sub": "somebody"}
        payload = base64.urlsafe_b64encode(json.dumps(found).encode()).decode().rstrip("=")
        return cls.application_request(f"eyJhbGciOiJFZERTQSJ9.{payload}.AAAA", (found["jti"], found["sub"]))

    @staticmethod
    def check_request(token):
        body = json.dumps({
            "token": token, "request": {"method": "GET", "host": "shop.example", "path": "/orders/4711",
                                        "ip": "192.0.2.7"},
            "limits": [{"policy": "search"}, {"policy": "upload"}],
            "flags": ["uploads.max_file_size_mb", "auth.enable_2fa"]}, separators=(",", ":"))
        return (f"POST /v1/check HTTP/1.1\r\nHost: gateway.example\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    def check(self):
        """A denial is 200, too."""
        return self.write("check", ((self.check_request(t), '200 "allow":true') for t in self.good))

    def bad_tokens(self):
        """Good claims under signatures that are all different and all bad."""
        def spoiled(token):
            head, _, signature = token.rpartition(".")
            return f"{head}.{COUNTER}{signature[len(COUNTER):]}"
        return self.write("bad", ((self.auth_request(spoiled(t)), "401|503") for t in self.good))

    @staticmethod
    def revoke_batches(rig, kind, admin_token):
        one = {"kind": kind, "issuer": ISSUER, "id": kind + "-" + COUNTER}
        if kind == "session":
            one["ttl"] = HOLD_S
        body = ("[" + ",".join([json.dumps(one)] * BATCH) + "]").encode()
        head = (f"POST /v1/revoke HTTP/1.1\r\nHost: perf\r\nAuthorization: Bearer {admin_token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        return write_framed(rig.path(f"revoke-{kind}.requests"), [(head + body, "200")])

    @staticmethod
    def flag_change(rig, admin_token):
        body = b'{"value":"' + COUNTER.encode() + b'"}'
        head = (f"POST /flags/perf.noise HTTP/1.1\r\nHost: perf\r\nAuthorization: Bearer {admin_token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        return write_framed(rig.path("flag.requests"), [(head + body, "200")])

    # --- RESP and memcached ----------------------------------------------------------------

    def keys_asked(self):
        """Drawn at random, half of them among the revoked: with few keys, or always the same ones,
        redis answers from the CPU's cache and does three times as many."""
        draw = random.Random(1)
        for _ in range(self.size["keys"]):
            number = draw.randrange(2 * self.size["background"])
            yield f"{RESP_KEY}{number:012}", number < self.size["background"]

    def exists(self):
        return self.write("exists", ((words("EXISTS", key), ":1" if hit else ":0") for key, hit in self.keys_asked()))

    def memcached_get(self):
        return self.write("mg", ((memcached.get(key), "HD" if hit else "EN") for key, hit in self.keys_asked()))

    def set(self):
        return self.write("set", [(words("SET", RESP_KEY + COUNTER, "1", "EX", str(HOLD_S)), "+OK")])

    def set_again(self, count):
        """The same count keys in turn."""
        return self.write(f"set-again-{count}", (
            (words("SET", f"{RESP_KEY}{number:012}", "1", "EX", str(HOLD_S)), "+OK") for number in range(count)))

    def memcached_set(self):
        return self.write("ms", [(memcached.set_for(RESP_KEY + COUNTER, HOLD_S), "HD")])

    def throttle(self, *command):
        """So many a second and key that nobody reaches it (1,000; more where there are few keys): all of them
        are charged, here and there, and nothing is said of when to come again (-1)."""
        draw, rate = random.Random(2), self.size["throttle_rate"]
        return self.write("throttle-" + command[0].lower(), [
            (words(*command, f"limit:{draw.randrange(self.size['background']):012}", str(rate - 1), str(rate), "1"),
             "*5 :-1")
            for _ in range(self.size["keys"])])

    def throttle_fill(self):
        return self.write("throttle-fill", [
            (words("CL.THROTTLE", "key-" + COUNTER, "10", "11", str(HOLD_S)), "*")])
