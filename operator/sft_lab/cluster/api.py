"""The lab's own few calls over HTTPS to etcd and the API server as the administrator; everyone else uses kubectl."""

import base64
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 10.0


class Administrator:
    """Talks to servers on loopback whose certificate the lab's own authority signed."""

    def __init__(self, tls: Path) -> None:
        self._context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        self._context.load_cert_chain(tls / "admin.crt", tls / "admin.key")

    def call(self, port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body of one request. Raises OSError when nobody, or another lab's server, answers."""
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=self._context)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def answers_ok(self, port: int, path: str) -> bool:
        try:
            return self.call(port, "GET", path)[0] == 200
        except OSError:
            return False


def plain_answers_ok(port: int, path: str) -> bool:
    """Whether a plain HTTP server on loopback answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def kubeconfig(tls: Path, port: int, namespace: str, user: dict[str, str]) -> str:
    """A kubeconfig with one context, as JSON (which every YAML reader takes)."""
    authority = base64.b64encode((tls / "ca.crt").read_bytes()).decode()
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sft-lab", "cluster": cluster}],
        "users": [{"name": "sft-lab", "user": user}],
        "contexts": [{"name": "sft-lab", "context": {"cluster": "sft-lab", "user": "sft-lab", "namespace": namespace}}],
        "current-context": "sft-lab",
    }
    return json.dumps(content, indent=1) + "\n"


def administrator_user(tls: Path) -> dict[str, str]:
    return {
        "client-certificate-data": base64.b64encode((tls / "admin.crt").read_bytes()).decode(),
        "client-key-data": base64.b64encode((tls / "admin.key").read_bytes()).decode(),
    }
