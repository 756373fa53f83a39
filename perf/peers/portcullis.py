# SPDX-License-Identifier: Apache-2.0
"""portcullis-edge: one core, its configuration, its listeners, its administrator."""
import json
import os
import secrets
import urllib.request

ISSUER = "https://issuer.example"
TOKEN_LIFETIME_S = 86400

# One route as gateways have them, and a limit that is charged but never reached. The limits of
# /v1/check are asked for by name.
RULES = {
    "routes": [{"name": "orders", "path": "/orders/{id}", "methods": ["GET"],
                "scopes": ["scope-3:read", "scope-7:read", "scope-11:read"], "limits": ["each-subject"]}],
    "limit_policies": [{"name": "each-subject", "rate": "1000000000/s", "key": ["subject"]},
                       {"name": "search", "rate": "1000000000/s", "key": ["subject"]},
                       {"name": "upload", "rate": "1000000000/s", "key": ["client"]}],
}
CHECK_RULES = {"limit_policies": RULES["limit_policies"]}


class Portcullis:
    def __init__(self, rig, name, pinned=True, more=None):
        self.rig, self.name, self.pinned = rig, name, pinned
        self.directory = rig.path(name)
        self.unix_path = os.path.join(self.directory, "http.sock")
        self.listeners_file = os.path.join(self.directory, "data", "listeners.json")
        self.admin_token = "perf-" + secrets.token_hex(32)
        self.peer, self.http_port, self.resp_port = None, None, None
        os.makedirs(self.directory, exist_ok=True)
        token_file = os.path.join(self.directory, "admin.token")
        with os.fdopen(os.open(token_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(self.admin_token)
        self.config = os.path.join(self.directory, "portcullis.yaml")
        with open(self.config, "w", encoding="ascii") as f:
            json.dump(self.configuration(token_file, more or {}), f, indent=1)  # JSON is YAML

    def configuration(self, token_file, more):
        # The budget and shedding have their own tests; here one client makes all the load, on a
        # machine that may be shared. Snapshots are switched off as rewriting is in redis.
        config = {
            "data_dir": os.path.join(self.directory, "data"), "cores": 1, "pin": "off",
            "listeners": [
                {"name": "http", "address": "127.0.0.1:0", "protocols": ["http1"]},
                {"name": "unix", "address": "unix:" + self.unix_path, "protocols": ["http1"],
                 "trusted_peers": ["unix"]},
                {"name": "resp", "address": "127.0.0.1:0", "protocols": ["resp"]}],
            "issuers": [{"name": ISSUER, "jwks_file": self.rig.shared("jwks.json"), "algorithms": ["EdDSA"],
                         "max_token_lifetime": f"{TOKEN_LIFETIME_S}s"}],
            "resp": {"trust_loopback": True},
            "http": {"idle_timeout": "3600s"},  # gateways' connections wait while others are measured
            "admin": {"token_file": token_file},
            "journal": {"snapshot_interval": "24h", "snapshot_bytes": "16GiB", "outbox_max": "64GiB"},
            "signature_budget": {"fraction": 1, "client_share": 1},
            "limits": {"queue_delay": "10s"},
        }
        for section, keys in more.items():
            if keys is None:
                del config[section]  # as it is by default
                continue
            config[section] = {**config[section], **keys} if isinstance(keys, dict) and section in config else keys
        return config

    def start(self):
        if os.path.exists(self.listeners_file):
            os.unlink(self.listeners_file)
        self.peer = self.rig.add(self.name, [self.rig.tool("portcullis-edge"), "--config", self.config],
                                 self.directory, 0, self.pinned)
        self.peer.wait_until(self.is_ready, "readiness")
        self.peer.port = self.http_port
        return self.peer

    def is_ready(self):
        try:
            with open(self.listeners_file, encoding="utf-8") as f:
                found = {x["name"]: x["address"].rpartition(":")[2] for x in json.load(f)["listeners"]}
            self.http_port, self.resp_port = int(found["http"]), int(found["resp"])
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/readiness", timeout=5) as r:
                return r.status == 200
        except (OSError, ValueError, KeyError):
            return False

    def stop(self):
        self.rig.stop(self.peer)
