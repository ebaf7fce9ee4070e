"""Names under our own domain that stand in Kubernetes metadata and AWS tags."""

from __future__ import annotations

DOMAIN = "sft-operator.dev"
FINALIZER = f"{DOMAIN}/stop-run"
FORCE_RELEASE = f"{DOMAIN}/force-release"
"""Annotation: "true" lets a resource go although its run could not be stopped."""

TAG_SCOPE = f"{DOMAIN}/scope"
TAG_NAMESPACE = f"{DOMAIN}/namespace"
TAG_NAME = f"{DOMAIN}/name"
TAG_RUN_ID = f"{DOMAIN}/run-id"
TAG_UID = f"{DOMAIN}/uid"
TAG_ATTEMPT = f"{DOMAIN}/attempt"
TAG_FINGERPRINT = f"{DOMAIN}/fingerprint"
TAG_INPUTS = f"{DOMAIN}/inputs"
TAG_STOPPED_BY = f"{DOMAIN}/stopped-by"
"""Written before StopTrainingJob: why the run was stopped by us."""
TAG_MODEL = "model_name_or_path"
