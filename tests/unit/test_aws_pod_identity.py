"""EKS Pod Identity: credentials come from the agent that the pod's variables name, by boto3's own chain."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from sft_operator.aws.sessions import Clients


class Agent(BaseHTTPRequestHandler):
    asked_with: str | None = None

    def do_GET(self) -> None:
        Agent.asked_with = self.headers.get("Authorization")
        body = json.dumps(
            {
                "AccessKeyId": "ASIAPOD",
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": "2099-01-01T00:00:00Z",
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Nothing: a test's output is pytest's."""


@pytest.fixture
def agent() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Agent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/credentials"
    server.shutdown()


def test_the_pods_own_identity_is_used(agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("pod-token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    client = Clients().get("sts", "us-east-1")
    credentials = client._request_signer._credentials.get_frozen_credentials()
    assert credentials.access_key == "ASIAPOD"
    assert Agent.asked_with == "pod-token"
