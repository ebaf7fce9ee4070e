"""Everything that an installation can set, typed: from the environment (SFT_...), else from a YAML file (SFT_CONFIG).

docs/configuration.md is generated from this module.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ..api import yaml12

NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


class ConfigFileError(Exception):
    """SFT_CONFIG names a file that cannot be taken."""


class Settings(BaseSettings):
    """Times are seconds, rates are calls per second and (account, region)."""

    model_config = SettingsConfigDict(env_prefix="SFT_", extra="forbid", frozen=True)

    identity_scope: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        description="Names this environment, such as prod-eu. Part of every run's identity: keep it when a cluster is "
        "rebuilt, so that runs are found again; never give two environments the same.",
    )
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Namespaces whose SFTJobs are served, separated by commas; empty serves the whole cluster."
    )
    leadership: Literal["Lease", "Alone", "Never"] = Field(
        "Lease",
        description="Who acts. Lease: of all processes the one that holds the Lease, the others stand by. Alone: this "
        "one, unasked; for one process on a laptop or in a lab, where nobody can start a second. Never: this one "
        "watches and does nothing.",
    )
    lease_name: str = Field("sft-operator", min_length=1, max_length=253, description="Name of the Lease.")
    lease_namespace: str | None = Field(
        None,
        description="Namespace of the Lease; without it the ServiceAccount's, else that of the kubeconfig's context.",
    )
    lease_duration: int = Field(
        14,
        ge=12,
        le=120,
        description="Time after the last renewal in which nobody else leads: a crash is taken over within 2 s more. A "
        "leader that cannot renew ends 5 s before.",
    )
    require_profile: bool = Field(True, description="Whether a namespace that no SFTProfile serves launches nothing.")
    pause_launches: bool = Field(
        False, description="Launch nothing new, for nobody; what runs is followed to its end. For incidents."
    )
    workers: int = Field(
        64,
        ge=1,
        le=256,
        description="Jobs that are worked on at once; they wait for answers far more than they compute.",
    )
    aws_threads: int = Field(
        12, ge=1, le=64, description="Calls that act on AWS in flight at once; polling has threads of its own."
    )
    check_processes: int = Field(2, ge=1, le=16, description="Data sets that are read at once, one process each.")
    sweep_interval: float = Field(30, gt=0, description="Time between two looks at unfinished runs.")
    full_sweep_interval: float = Field(600, gt=0, description="Time between two looks at all runs, changed or not.")
    log_interval: float = Field(60, gt=0, description="Least time between two reads of one run's training log.")
    list_rate: float = Field(0.5, gt=0, description="List calls; AWS is reported to allow 2 in all, not adjustable.")
    create_rate: float = Field(1, gt=0, description="Create and stop calls; a burst of create_burst is allowed.")
    create_burst: int = Field(20, ge=1, description="Create and stop calls that need not wait.")
    describe_rate: float = Field(2, gt=0, description="Describe calls.")
    log_rate: float = Field(5, gt=0, description="Reads of training logs.")
    progress_interval: float = Field(
        30, ge=0, description="Least time between two status writes of one job that only move progress or stage."
    )
    resync_interval: float = Field(600, gt=0, description="Time between two full reads of all SFTJobs.")
    kubernetes_timeout: float = Field(15, gt=0, description="Longest wait for one answer of the API server.")
    http_host: str = Field("0.0.0.0", description="Address of /healthz, /readyz and /metrics.")  # noqa: S104
    http_port: int = Field(8080, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    metrics_auth: Literal["None", "TokenReview"] = Field(
        "None",
        description="Who may read /metrics. None: whoever reaches the port. TokenReview: bearers of a token whose user may "
        "get the non-resource URL /metrics.",
    )
    metrics_namespaces: bool = Field(
        False, description="Whether sft_jobs has a series for each namespace; names of namespaces may tell of tenants."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["json", "text"] = Field("json", description="json: one object a line; text: for people.")
    catalogue_dir: Path | None = Field(
        None, description="Folder whose files replace those of the same name in the built-in catalogue."
    )

    @field_validator("namespaces", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        names = [name for name in re.split(r"[,\s]+", value) if name] if isinstance(value, str) else value
        if wrong := [name for name in names if not NAMESPACE.match(str(name))]:
            raise ValueError(f"{', '.join(map(str, wrong))}: no name of a namespace; patterns are not understood")
        return names

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        path = os.environ.get("SFT_CONFIG")
        return (*sources, InitSettingsSource(settings_cls, _written(path))) if path else sources


def _written(path: str) -> dict[str, Any]:
    """What stands in the file. A file that was named and is not there is an error: its settings were meant to hold."""
    try:
        content = yaml12.load(Path(path).read_text(encoding="utf-8"), source=path)
    except (OSError, ValueError) as error:
        raise ConfigFileError(f"SFT_CONFIG: {path} cannot be read: {error}") from error
    if content is not None and not isinstance(content, dict):
        raise ConfigFileError(f"SFT_CONFIG: {path} must hold a map of settings, not a {type(content).__name__}")
    return content or {}
