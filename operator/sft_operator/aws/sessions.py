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
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError
from botocore.model import ServiceModel

from ..api.metadata import DOMAIN
from ..api.place import Access
from .fence import MaySend, put_fence


class Purpose(StrEnum):
    """Why a client is used. A client counts its own retries: throttled polling must not take those of a stop."""

    ACT = "act"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How a client waits and repeats; times in seconds."""

    total_max_attempts: int = 3
    connect_timeout: float = 3.0
    read_timeout: float = 20.0
    act_read_timeout: float = 6.0
    """Of clients that act: with the connect timeout it must fit into the lease that is left between two renewals."""
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

    def __init__(self, settings: ClientSettings | None = None, *, may_send: MaySend | None = None) -> None:
        self._settings, self._may_send = settings or ClientSettings(), may_send
        self._lock = threading.Lock()
        # Parsed service models are most of a session's memory (24 MB against 1 MB): every session shares this one.
        self._loader = botocore.loaders.create_loader()
        self._sessions: dict[Access | None, boto3.Session] = {}
        self._clients: dict[tuple[str, str | None, Purpose, Access | None], Any] = {}

    def get(
        self,
        service: str,
        region: str | None = None,
        purpose: Purpose = Purpose.ACT,
        access: Access | None = None,
    ) -> Any:
        """The client of a service. The first call for one takes 10 to 400 ms: make it in a worker thread."""
        key = (service, region, purpose, access)
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                session = self._session(access, region)
                wanted = self._config(purpose)
                client = session.client(service, region_name=region or default_region(), config=wanted)
                if self._may_send is not None:
                    put_fence(client, self._may_send, wanted.connect_timeout + wanted.read_timeout)
                if session.get_credentials() is not None:  # without any it would never take those that come later
                    self._clients[key] = client
            return client

    def model(self, service: str) -> ServiceModel:
        """botocore's model of a service; reads files, calls nobody."""
        with self._lock:
            return self._session(None, None)._session.get_service_model(service)

    def _session(self, access: Access | None, region: str | None) -> boto3.Session:
        session = self._sessions.get(access)
        if session is None:
            core = botocore.session.Session()
            core.register_component("data_loader", self._loader)
            if access is not None:
                core._credentials = self._assumed(access, region)  # the way that boto3's own assumed sessions go
            session = self._sessions[access] = boto3.Session(botocore_session=core, region_name=default_region())
        return session

    def _assumed(self, access: Access, region: str | None) -> DeferredRefreshableCredentials:
        """Credentials that are asked for at the first call, and again a quarter of an hour before they end."""
        own = self._session(None, None)

        def client(service: str, **given: Any) -> Any:
            with self._lock:  # asked for in the thread of the call that needs the credentials
                wanted = self._config(Purpose.ACT)
                return own.client(service, region_name=region or default_region(), config=wanted, **given)

        def credentials() -> Any:
            source = own.get_credentials()
            if source is None:
                raise NoCredentialsError
            fetcher = AssumeRoleCredentialFetcher(
                client_creator=client,
                source_credentials=source,
                role_arn=access.role_arn,
                extra_args=_assume_role_arguments(access),
            )
            return fetcher.fetch_credentials()

        return DeferredRefreshableCredentials(refresh_using=credentials, method="assume-role")

    def _config(self, purpose: Purpose) -> Config:
        wanted = self._settings
        acting = purpose is Purpose.ACT
        return Config(
            retries={"mode": "standard", "total_max_attempts": wanted.total_max_attempts},
            connect_timeout=wanted.connect_timeout,
            read_timeout=min(wanted.act_read_timeout, wanted.read_timeout) if acting else wanted.read_timeout,
            max_pool_connections=wanted.max_pool_connections,
            tcp_keepalive=True,
            user_agent_extra=wanted.user_agent_extra,
        )


SESSION_SECONDS = 3600
"""The longest that AWS gives to a role assumed by an assumed role, which an operator in EKS always is."""


def _assume_role_arguments(access: Access) -> dict[str, Any]:
    """Name and tags of the session: who acts for whom, for CloudTrail and for conditions on aws:PrincipalTag."""
    tags = {f"{DOMAIN}/profile": access.profile, f"{DOMAIN}/namespace": access.namespace}
    return {
        "RoleSessionName": f"sft-operator.{access.namespace or access.profile}"[:64],
        "DurationSeconds": SESSION_SECONDS,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items() if value],
        **({"ExternalId": access.external_id} if access.external_id is not None else {}),
    }
