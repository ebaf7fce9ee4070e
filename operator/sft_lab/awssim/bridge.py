"""moto in this process: requests of the services that are not simulated here, and direct access to its S3.

moto keeps its state in module globals, so all simulations of one process share it.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

_HOP_BY_HOP = frozenset({"connection", "date", "transfer-encoding", "server", "keep-alive"})


class Moto:
    """Loaded on first use: importing moto takes about a second."""

    def __init__(self) -> None:
        self._application: Any = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        return self._application is not None

    def load(self) -> Any:
        with self._lock:
            if self._application is None:
                import moto.backends
                import moto.iam.models
                import moto.s3.models
                import moto.sts.models
                from moto.moto_server import werkzeug_app

                _remember_modules(moto.backends)
                self._application = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
        return self._application

    def call(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes, account: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """One request as moto answers it: status, headers, body. `target` is path and query as they came."""
        environ = _environ(method, target, headers, body, account)
        answered: list[Any] = []

        def start_response(status: str, response_headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answered[:] = [int(status.split(" ", 1)[0]), response_headers]

        chunks = self.load()(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        status, found = answered
        # The length is ours to say, but for HEAD, where it is the answer.
        drop = _HOP_BY_HOP if method == "HEAD" else _HOP_BY_HOP | {"content-length"}
        return status, [(k, v) for k, v in found if k.lower() not in drop], content

    def account_of(self, access_key: str) -> str | None:
        """The account whose role or user got this access key from STS or IAM."""
        if not self.loaded:
            return None
        from moto.iam.models import iam_backends

        for account, partitions in list(iam_backends.items()):
            if any(access_key in backend.access_keys for backend in list(partitions.values())):
                return str(account)
        return None

    def reset(self) -> None:
        if not self.loaded:
            return
        from moto.core.base_backend import BackendDict
        from moto.core.model_instances import reset_model_data

        BackendDict.reset()
        reset_model_data()

    def backend(self, service: str, account: str, region: str) -> Any:
        """moto's backend object (`events`, `logs`, `s3`); global services have no region."""
        self.load()
        from moto.backends import get_backend

        find: Any = get_backend  # moto types it by a closed list of literals
        return find(service)[account]["aws" if service == "s3" else region]


class MotoStorage:
    """S3 as the training jobs see it, with every account's buckets."""

    def __init__(self, moto: Moto) -> None:
        self._moto = moto

    def _bucket(self, name: str) -> Any:
        self._moto.load()
        from moto.s3.models import s3_backends

        owner = s3_backends.bucket_accounts.get(name)
        if owner is None:
            return None
        partition, account = owner
        return s3_backends[account][partition].buckets.get(name)

    def bucket_region(self, bucket: str) -> str | None:
        found = self._bucket(bucket)
        return None if found is None else str(found.region_name)

    def has_objects(self, bucket: str, prefix: str) -> bool:
        found = self._bucket(bucket)
        if found is None:
            return False
        return prefix in found.keys or any(key.startswith(prefix) for key in _copied(found.keys))

    def read(self, bucket: str, key: str) -> bytes | None:
        found = self._bucket(bucket)
        if found is None or key not in found.keys:
            return None
        value = getattr(found.keys[key], "value", None)
        return bytes(value) if value is not None else None

    def write(self, bucket: str, key: str, body: bytes) -> None:
        """Does nothing when the bucket is gone."""
        found = self._bucket(bucket)
        if found is not None:
            self._moto.backend("s3", found.account_id, found.region_name).put_object(bucket, key, body)


def _copied(mapping: Mapping[str, Any]) -> list[str]:
    """The keys of a dict that other threads write to."""
    while True:
        with contextlib.suppress(RuntimeError):  # changed size during iteration
            return list(mapping)


def _remember_modules(backends: Any) -> None:
    """moto walks its own folder on every request to list its services: 24 % of its time, for a constant."""
    modules = backends.list_of_moto_modules()
    known = list(modules)
    backends.list_of_moto_modules = lambda: known


def _environ(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes, account: str) -> dict[str, Any]:
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        # WSGI wants the decoded bytes, one character each.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    names: dict[str, str] = {}
    for name, value in headers:
        key = name.upper().replace("-", "_")
        if "_" in name:
            # WSGI cannot tell x_y from x-y. S3 metadata may have both; anything else with an underscore is dropped.
            if not name.lower().startswith("x-amz-meta-"):
                continue
            names[f"HTTP_{key}"] = name
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            environ[key] = value
        elif key != "TRANSFER_ENCODING":
            environ[f"HTTP_{key}"] = value
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["HTTP_X_MOTO_ACCOUNT_ID"] = account
    environ["moto.preserved_header_names"] = names
    return environ
