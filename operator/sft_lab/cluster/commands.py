"""The command line of each program of the lab, as pure functions of where things lie; starting them is elsewhere."""

import sys
from dataclasses import dataclass
from pathlib import Path

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
PROGRAMS = (*CONTROL_PLANE, "awssim")

# What a namespaced resource needs to live and die; nodes, volumes and cloud are not part of the lab.
CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "resourcequota-controller",
    "deployment-controller",
    "replicaset-controller",
)


@dataclass(frozen=True)
class Layout:
    """Where the files of the lab in `root` lie (an absolute path)."""

    root: Path

    @property
    def marker(self) -> Path:
        return self.root / "lab.json"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def lock(self) -> Path:
        return self.root / "lab.lock"

    @property
    def shell_env(self) -> Path:
        return self.root / "env"

    @property
    def json_env(self) -> Path:
        return self.root / "env.json"


def etcd(program: Path, lab: Layout, port: int) -> tuple[str, ...]:
    url = f"https://127.0.0.1:{port}"
    return (
        str(program),
        f"--data-dir={lab.etcd}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        f"--cert-file={lab.tls}/server.crt",
        f"--key-file={lab.tls}/server.key",
        f"--trusted-ca-file={lab.tls}/ca.crt",
        "--client-cert-auth",
        "--unsafe-no-fsync",  # a lab's data need not survive the machine
        "--log-level=warn",
    )


def kube_apiserver(program: Path, lab: Layout, port: int, etcd_port: int) -> tuple[str, ...]:
    return (
        str(program),
        f"--etcd-servers=https://127.0.0.1:{etcd_port}",
        f"--etcd-cafile={lab.tls}/ca.crt",
        f"--etcd-certfile={lab.tls}/admin.crt",
        f"--etcd-keyfile={lab.tls}/admin.key",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={lab.tls}",
        f"--tls-cert-file={lab.tls}/server.crt",
        f"--tls-private-key-file={lab.tls}/server.key",
        f"--client-ca-file={lab.tls}/ca.crt",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",  # pods here need no token: no kubelet would mount it
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={lab.tls}/service-account.key",
        f"--service-account-key-file={lab.tls}/service-account.pub",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # loopback is no valid endpoint, and nothing reaches the Service
        "--allow-privileged",
        "--profiling=false",
    )


def kube_controller_manager(program: Path, lab: Layout) -> tuple[str, ...]:
    return (
        str(program),
        f"--kubeconfig={lab.kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={lab.tls}/service-account.key",
        f"--root-ca-file={lab.tls}/ca.crt",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    )


def awssim(port: int, pace: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "sft_lab.awssim", f"--port={port}", f"--pace={pace}")
