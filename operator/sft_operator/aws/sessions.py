"""boto3 clients, each built once and shared by all threads; nothing is called from here."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.model import ServiceModel


class Purpose(StrEnum):
    """Why a client is used. A client counts its own retries: throttled polling must not take those of a stop."""

    ACT = "act"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How a client waits and repeats; times in seconds."""

    total_max_attempts: int = 3
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    max_pool_connections: int = 16
    """At least the number of threads that call, else connections are opened and dropped."""
    user_agent_extra: str = "sft-operator"


def default_region() -> str | None:
    """AWS_REGION, which EKS sets, else AWS_DEFAULT_REGION, the only one that boto3 reads."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


class Clients:
    """Builds clients under a lock (sessions are not thread-safe, clients are) and keeps them.

    Credentials, endpoints (AWS_ENDPOINT_URL) and EKS's web identity and Pod Identity come by boto3's own chain.
    """

    def __init__(self, settings: ClientSettings | None = None) -> None:
        self._settings = settings or ClientSettings()
        self._lock = threading.Lock()
        # Parsed service models are most of a session's memory (24 MB against 1 MB): every session shares this one.
        self._loader = botocore.loaders.create_loader()
        self._session: boto3.Session | None = None
        self._clients: dict[tuple[str, str | None, Purpose], Any] = {}

    def get(self, service: str, region: str | None = None, purpose: Purpose = Purpose.ACT) -> Any:
        """The client of a service. The first call for one takes 10 to 400 ms: make it in a worker thread."""
        key = (service, region, purpose)
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                session = self._new_session()
                client = session.client(service, region_name=region or default_region(), config=self._config())
                if session.get_credentials() is not None:  # without any it would never take those that come later
                    self._clients[key] = client
            return client

    def model(self, service: str) -> ServiceModel:
        """botocore's model of a service; reads files, calls nobody."""
        with self._lock:
            return self._new_session()._session.get_service_model(service)

    def _new_session(self) -> boto3.Session:
        if self._session is None:
            core = botocore.session.Session()
            core.register_component("data_loader", self._loader)
            self._session = boto3.Session(botocore_session=core, region_name=default_region())
        return self._session

    def _config(self) -> Config:
        wanted = self._settings
        return Config(
            retries={"mode": "standard", "total_max_attempts": wanted.total_max_attempts},
            connect_timeout=wanted.connect_timeout,
            read_timeout=wanted.read_timeout,
            max_pool_connections=wanted.max_pool_connections,
            tcp_keepalive=True,
            user_agent_extra=wanted.user_agent_extra,
        )
