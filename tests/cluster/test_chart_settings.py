"""The chart in the settings in which people install it: what the API server says of each, and what reaches the pod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from sft_lab.cluster.lab import Lab
from sft_lab.installation import NAMESPACE, RELEASE
from tests.cluster.test_chart import CHART, of_kind

Values = dict[str, Any]
DIGEST = "sha256:" + "0123456789abcdef" * 4
ROLE = "arn:aws:iam::111122223333:role/sft-operator"

SETTINGS: dict[str, Values] = {
    "what is required": {},
    "two teams of a cluster": {"watchNamespaces": ["team-a", "team-b"]},
    "IRSA and a private registry": {
        "image": {"repository": "registry.example.com/ml/sft-operator", "digest": DIGEST},
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": ROLE}},
        "region": "eu-west-1",
    },
    "a proxy that breaks TLS open": {
        "proxy": {"https": "http://proxy.example.com:3128", "noProxy": ".example.com"},
        "caBundle": {"configMap": "corporate-ca", "key": "bundle.pem"},
    },
    "certificates in a Secret": {"caBundle": {"secret": "corporate-ca"}},
    "a catalogue of one's own": {
        "config": {"catalogue_dir": "/etc/sft-catalogue", "log_level": "DEBUG"},
        "volumes": [{"name": "catalogue", "configMap": {"name": "sft-catalogue"}}],
        "volumeMounts": [{"name": "catalogue", "mountPath": "/etc/sft-catalogue", "readOnly": True}],
    },
    "OpenShift": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "one trusting team": {"requireProfile": False, "replicas": 1},
    "an incident": {"pauseLaunches": True},
    "roles that somebody else makes": {
        "rbac": {"create": False, "aggregate": False},
        "serviceAccount": {"create": False, "name": "ml-platform"},
    },
    "as little as possible": {
        "crds": {"install": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "metrics": {"service": False},
    },
    "nodes of its own": {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "platform", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]},
        ]}}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"},
        ],
        "podDisruptionBudget": {"maxUnavailable": "50%"},
    },
    "Prometheus, and nobody else": {
        "metrics": {
            "serviceAnnotations": {"prometheus.io/scrape": "true"},
            "serviceMonitor": {
                "enabled": True, "labels": {"release": "prometheus"}, "interval": "15s",
                "authorization": {"credentials": {"name": "prometheus", "key": "token"}},
            },
        },
        "config": {"metrics_auth": "TokenReview"},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "extraEgress": [{"ports": [{"port": 8443, "protocol": "TCP"}]}],
            "apiServerPorts": [16443],
        },
    },
    "everything of the pod": {
        "config": {"http_port": 9090},
        "podAnnotations": {"example.com/team": "ml"},
        "podLabels": {"example.com/team": "ml"},
        "env": [{"name": "AWS_STS_REGIONAL_ENDPOINTS", "value": "regional"}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    },
}  # fmt: skip

SERVICE_MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor"},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }],
    },
}  # fmt: skip
"""The kind by name alone: that the fields are the Prometheus operator's own is not checked here."""


def values(setting: str) -> str:
    return json.dumps({"identityScope": "test", **SETTINGS[setting]})


@cache
def rendered(lab: Lab, setting: str) -> str:
    return lab.helm("template", RELEASE, CHART, "--namespace", NAMESPACE, "-f", "-", input=values(setting)).stdout


def documents(lab: Lab, setting: str) -> list[dict[str, Any]]:
    return [document for document in yaml.load_all(rendered(lab, setting), yaml.CSafeLoader) if document]


def pod(lab: Lab, setting: str) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(documents(lab, setting), "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(lab: Lab, setting: str) -> dict[str, str]:
    (container,) = pod(lab, setting)["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Lab]:
    """The session's lab with what some settings take for granted."""
    lab.kubectl("apply", "-f", "-", input=json.dumps(SERVICE_MONITORS))
    lab.kubectl("wait", "--for=condition=Established", "crd/servicemonitors.monitoring.coreos.com", "--timeout=20s")
    for team in ("team-a", "team-b"):
        lab.kubectl("create", "namespace", team)
    yield lab
    lab.kubectl("delete", "--wait=false", "crd/servicemonitors.monitoring.coreos.com", "ns/team-a", "ns/team-b")


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_chart_lints_and_the_api_server_takes_what_it_renders(cluster: Lab, setting: str) -> None:
    assert "0 chart(s) failed" in cluster.helm("lint", "--strict", CHART, "-f", "-", input=values(setting)).stdout
    answer = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", input=rendered(cluster, setting)
    )
    assert len(answer.stdout.splitlines()) == len(documents(cluster, setting))
    assert "Warning" not in answer.stderr


@pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "roles that somebody else makes"])
def test_the_strictest_pod_security_standard_takes_the_pod(cluster: Lab, namespace: str, setting: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("create", "serviceaccount", RELEASE, "--namespace", namespace)
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it"}, "spec": pod(cluster, setting)}
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--namespace", namespace, "-f", "-", input=json.dumps(manifest), check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_two_replicas_stand_apart_and_a_new_one_stands_by_before_an_old_one_ends(lab: Lab) -> None:
    found = documents(lab, "what is required")
    deployment = of_kind(found, "Deployment")["spec"]
    selector = deployment["selector"]["matchLabels"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    template = deployment["template"]["spec"]
    (apart,) = template["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    (spread,) = template["topologySpreadConstraints"]
    assert apart["podAffinityTerm"]["labelSelector"]["matchLabels"] == selector
    assert (spread["topologyKey"], spread["labelSelector"]) == (
        "topology.kubernetes.io/zone",
        {"matchLabels": selector},
    )
    budget = of_kind(found, "PodDisruptionBudget")["spec"]
    assert budget == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector},
    }


def test_the_container_can_write_nowhere_but_tmp_and_is_nobody(lab: Lab) -> None:
    template = pod(lab, "what is required")
    (container,) = template["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert template["securityContext"]["runAsNonRoot"]
    assert template["securityContext"]["runAsUser"] == 65532
    assert template["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108


def test_values_reach_the_operator_as_its_settings(lab: Lab) -> None:
    assert environment(lab, "what is required") == {
        "SFT_IDENTITY_SCOPE": "test",
        "SFT_REQUIRE_PROFILE": "true",
        "SFT_PAUSE_LAUNCHES": "false",
        "SFT_LEASE_NAME": RELEASE,
    }
    assert environment(lab, "one trusting team")["SFT_REQUIRE_PROFILE"] == "false"
    assert environment(lab, "an incident")["SFT_PAUSE_LAUNCHES"] == "true"
    assert environment(lab, "two teams of a cluster")["SFT_NAMESPACES"] == "team-a,team-b"
    assert environment(lab, "IRSA and a private registry")["AWS_REGION"] == "eu-west-1"
    assert environment(lab, "everything of the pod")["AWS_STS_REGIONAL_ENDPOINTS"] == "regional"


def test_a_digest_wins_over_the_tag(lab: Lab) -> None:
    (container,) = pod(lab, "IRSA and a private registry")["containers"]
    assert container["image"] == f"registry.example.com/ml/sft-operator@{DIGEST}"


def test_a_catalogue_can_be_laid_over_the_built_in_one(lab: Lab) -> None:
    setting = "a catalogue of one's own"
    config = of_kind(documents(lab, setting), "ConfigMap")["data"]["config.yaml"]
    (container,) = pod(lab, setting)["containers"]
    assert yaml.safe_load(config) == SETTINGS[setting]["config"]
    assert {"name": "catalogue", "mountPath": "/etc/sft-catalogue", "readOnly": True} in container["volumeMounts"]
    assert environment(lab, setting)["SFT_CONFIG"] == "/etc/sft-operator/config.yaml"


def test_the_api_server_and_the_metadata_addresses_are_not_asked_through_the_proxy(lab: Lab) -> None:
    env = environment(lab, "a proxy that breaks TLS open")
    assert env["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert env["NO_PROXY"].split(",")[0] == "$(KUBERNETES_SERVICE_HOST)"
    assert {"169.254.169.254", "169.254.170.23", ".svc", ".example.com"} <= set(env["NO_PROXY"].split(","))
    assert env["AWS_CA_BUNDLE"] == "/etc/sft-operator-ca/bundle.pem"


def ports(lab: Lab, setting: str) -> dict[str, set[int]]:
    """Open TCP and UDP ports by what they lead to."""
    found: dict[str, set[int]] = {}
    for rule in of_kind(documents(lab, setting), "NetworkPolicy")["spec"]["egress"]:
        where = rule["to"][0]["ipBlock"]["cidr"] if "to" in rule else "anywhere"
        found.setdefault(where, set()).update(port["port"] for port in rule["ports"])
    return found


def test_the_network_policy_lets_out_what_the_operator_calls_and_nothing_else(lab: Lab) -> None:
    assert ports(lab, "what is required") == {
        "anywhere": {53},
        "0.0.0.0/0": {443, 6443},
        "169.254.170.23/32": {80},
    }
    assert ports(lab, "a proxy that breaks TLS open")["0.0.0.0/0"] == {443, 6443, 3128}
    assert ports(lab, "Prometheus, and nobody else") == {
        "anywhere": {53, 8443},
        "0.0.0.0/0": {443, 16443},
        "169.254.170.23/32": {80},
    }
    policy = of_kind(documents(lab, "what is required"), "NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    assert "169.254.169.254/32" in policy["egress"][1]["to"][0]["ipBlock"]["except"]


def test_probes_service_and_scrapes_follow_the_port(lab: Lab) -> None:
    found = documents(lab, "everything of the pod")
    (container,) = pod(lab, "everything of the pod")["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 9090}]
    assert of_kind(found, "Service")["spec"]["ports"] == [{"name": "http", "port": 9090, "targetPort": "http"}]
    for probe, path in (("livenessProbe", "/healthz"), ("startupProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_prometheus_finds_the_metrics_by_the_service_monitor(lab: Lab) -> None:
    found = documents(lab, "Prometheus, and nobody else")
    monitor, service = of_kind(found, "ServiceMonitor"), of_kind(found, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("http", "/metrics", "15s")
    assert endpoint["authorization"] == {"credentials": {"name": "prometheus", "key": "token"}}
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
