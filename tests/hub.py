"""A stand-in for a hub: a small HTTP server that takes an upload as the real one does, and keeps what it got."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_s3cret0f0urs"


@dataclass
class Hub:
    """Its repositories hold files by name; `failures` are paths' beginnings with the status that they answer."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    commits: int = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        path = path.partition("?")[0]
        if method == "PUT" and path.startswith("/storage/"):
            oid = path.rsplit("/", 1)[-1]
            if hashlib.sha256(body).hexdigest() != oid:
                return 400, {"error": "not the bytes of that name"}
            self.stored[oid] = body
            return 200, {}
        asked = json.loads(body) if body and not path.endswith("/commit/main") else {}
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": "me"}
        if path == "/api/repos/create":
            return self._create(asked)
        if path == "/api/validate-yaml":
            errors = [{"message": complaint} for complaint in self.complaints]
            return 400 if errors else 200, {"errors": errors, "warnings": []}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._place(item) for item in asked["objects"]]}
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            repository = f"{owner}/{name}"
            match rest:
                case [] if repository in self.repositories:
                    return 200, {"id": repository, "private": self.private[repository]}
                case ["preupload", "main"]:
                    return 200, {"files": [self._mode(item["path"]) for item in asked["files"]]}
                case ["commit", "main"]:
                    return self._commit(repository, body)
        return 404, {"error": f"nothing at {path}"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        repository = f"{asked['organization']}/{asked['name']}"
        there = repository in self.repositories
        self.repositories.setdefault(repository, {})
        self.private.setdefault(repository, asked.get("visibility") == "private")
        return 409 if there else 200, {"url": f"{self.address}/{repository}", "name": repository, "id": repository}

    def _mode(self, path: str) -> dict[str, Any]:
        large = path.endswith((".safetensors", ".gguf"))
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        return item | {"actions": {"upload": {"href": f"{self.address}/storage/{item['oid']}"}}}

    def _commit(self, repository: str, body: bytes) -> tuple[int, Any]:
        files = self.repositories[repository]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
        self.commits += 1
        return 200, {"commitUrl": f"{self.address}/{repository}/commit/abc", "commitOid": "abc"}


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self._body()
            hub.asked.append(f"{self.command} {self.path}")
            status = next((code for start, code in hub.failures.items() if self.path.startswith(start)), 0)
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}" or self.path.startswith("/storage/")
            if status or not known:
                status, content = status or 401, {"error": "because\nwe say so"}
            else:
                status, content = hub.answer(self.command, self.path, body)
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()
