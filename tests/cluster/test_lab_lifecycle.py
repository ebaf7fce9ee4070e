"""The lab as its user sees it: it comes up, is used, is disturbed, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sft_lab.cluster.binaries import Finder, Sources
from sft_lab.cluster.commands import PROGRAMS
from sft_lab.cluster.lab import Lab, LabError
from sft_lab.cluster.startup import start_lab

SFT_LAB = str(Path(sys.executable).parent / "sft-lab")

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.lab.example"},
    "spec": {
        "group": "lab.example",
        "scope": "Namespaced",
        "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with start_lab(tmp_path_factory.mktemp("lab"), aws=False) as lab:
        yield lab


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def sft_lab(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SFT_LAB, *map(str, arguments)], env=os.environ | environ, capture_output=True, text=True, timeout=180
    )


def processes_of(directory: Path) -> dict[int, dict[str, str]]:
    """pid → environment of every live process of the machine that was started for the lab in this folder."""
    found: dict[int, dict[str, str]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if state not in "ZX" and f"HOME={directory}/home" in variables:
            found[int(process.name)] = dict(line.split("=", 1) for line in variables if line)
    return found


def test_up_leaves_the_whole_lab_running_and_down_leaves_nothing(tmp_path: Path) -> None:
    up = sft_lab("up", "--dir", tmp_path)
    assert up.returncode == 0, up.stderr
    try:
        assert len(processes_of(tmp_path)) == len(PROGRAMS)
        status = sft_lab("status", "--dir", tmp_path)
        assert status.returncode == 0
        assert status.stdout.count("running, pid") == len(PROGRAMS)
        again = sft_lab("up", "--dir", tmp_path)
        assert again.returncode == 0
        assert "already up" in again.stderr
    finally:
        down = sft_lab("down", "--dir", tmp_path)
    assert down.returncode == 0, down.stderr
    assert processes_of(tmp_path) == {}
    assert sft_lab("down", "--dir", tmp_path).stdout == f"nothing of a lab runs in {tmp_path}\n"
    assert sft_lab("status", "--dir", tmp_path).returncode == 1


def test_nothing_of_the_machines_environment_reaches_the_labs_programs(tmp_path: Path) -> None:
    leaks = {
        "AWS_CA_BUNDLE": "/etc/leak.pem",
        "AWS_PROFILE": "leak",
        "HTTPS_PROXY": "http://leak.example",
        "SSL_CERT_FILE": "/etc/leak.pem",
        "SOME_TOKEN": "leak",
    }
    # Downloads are off, so that the proxy, which does not exist, is not even needed.
    off = {f"SFT_LAB_{name}": "" for name in ("ENVTEST_INDEX", "KUBERNETES_RELEASES", "HELM_RELEASES")}
    assert sft_lab("up", "--dir", tmp_path, **leaks, **off).returncode == 0
    try:
        running = processes_of(tmp_path)
        shown = subprocess.run(
            ["sh", "-c", f". {tmp_path}/env && env"], env=os.environ | leaks, capture_output=True, text=True, check=True
        )
    finally:
        sft_lab("down", "--dir", tmp_path)
    assert len(running) == len(PROGRAMS)
    for variables in running.values():
        # A shell sets PWD and its like for the program that it becomes.
        assert set(variables) <= {"PATH", "HOME", "LANG", "PYTHONUNBUFFERED", "PWD", "OLDPWD", "SHLVL", "_"}
    in_shell = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    # A shell keeps its own; only what leads out of the lab is taken away.
    assert leaks.keys() & in_shell.keys() == {"SSL_CERT_FILE", "SOME_TOKEN"}


def test_the_env_file_leads_a_shell_into_the_lab(lab: Lab) -> None:
    script = (
        f". '{lab.layout.shell_env}' && kubectl get namespace ml-team -o name && kubectl config view --minify "
        "-o 'jsonpath={..namespace}' && echo && command -v kubectl && command -v helm && helm list --short && echo $AWS_REGION "
        "$AWS_DEFAULT_REGION $SFT_IDENTITY_SCOPE ${AWS_PROFILE-unset} && command -v python"
    )
    environ = {"PATH": "/usr/bin:/bin", "AWS_PROFILE": "mine"}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "namespace/ml-team",
        "ml-team",
        f"{lab.layout.bin}/kubectl",
        f"{lab.layout.bin}/helm",
        "us-east-1 us-east-1 lab unset",
        f"{Path(sys.executable).parent}/python",
    ]
    for_programs = json.loads(lab.layout.json_env.read_text())
    assert for_programs["KUBECONFIG"] == str(lab.kubeconfig)
    assert "SOME_TOKEN" not in for_programs


def test_two_labs_live_side_by_side_and_ending_one_leaves_the_other(lab: Lab, tmp_path: Path) -> None:
    with start_lab(tmp_path, aws=False, identity_scope="second") as second:
        second.kubectl("create", "namespace", "only-in-second")
        assert lab.kubectl("get", "namespace", "only-in-second", check=False).returncode == 1
        assert second.env["SFT_IDENTITY_SCOPE"] == "second"
        assert set(second.ports.values()).isdisjoint(lab.ports.values())
    assert processes_of(tmp_path) == {}
    assert lab.kubectl("get", "namespace", "ml-team", "-o", "name").stdout == "namespace/ml-team\n"


def test_a_lab_with_a_killed_program_can_be_ended_or_begun_anew_from_empty(tmp_path: Path) -> None:
    first = start_lab(tmp_path, aws=False)
    first.kubectl("create", "configmap", "old")
    first.kill("etcd")
    status = sft_lab("status", "--dir", tmp_path)
    assert status.returncode == 1
    assert "logs/etcd.log" in status.stdout
    said: list[str] = []
    second = start_lab(tmp_path, aws=False, say=said.append)
    try:
        assert said == [
            f"ended what an earlier lab left running in {tmp_path}: kube-apiserver, kube-controller-manager"
        ]
        assert second.kubectl("get", "configmap", "old", check=False).returncode == 1
        second.kill("etcd")
    finally:
        down = sft_lab("down", "--dir", tmp_path)
    assert down.returncode == 0
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_up_that_is_cut_off_halfway_leaves_nothing_after_down(tmp_path: Path, number: signal.Signals) -> None:
    up = subprocess.Popen([SFT_LAB, "up", "--dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until((tmp_path / "run" / "kube-apiserver.pid").exists)
    up.send_signal(number)
    up.communicate(timeout=60)
    if number is not signal.SIGKILL:
        assert processes_of(tmp_path) == {}, "an interrupted up cleans up by itself"
    assert sft_lab("down", "--dir", tmp_path).returncode == 0
    assert processes_of(tmp_path) == {}


def test_a_program_that_dies_at_the_start_is_told_with_its_last_words_and_takes_all_down(tmp_path: Path) -> None:
    broken = tmp_path / "assets" / "kube-apiserver"
    broken.parent.mkdir()
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo Kubernetes v1.36.3; exit; }\necho no cheese >&2\nexit 1\n'
    )
    broken.chmod(0o755)
    directory = tmp_path / "lab"
    up = sft_lab("up", "--dir", directory, "--without-aws", KUBEBUILDER_ASSETS=str(broken.parent))
    assert up.returncode == 1
    for words in ("kube-apiserver ended while it started", "no cheese", "logs/kube-apiserver.log", "What to do"):
        assert words in up.stderr
    assert processes_of(directory) == {}


def test_a_port_that_another_program_took_at_the_last_moment_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    etcd = Finder(Sources.of(os.environ)).find("etcd").path
    late = tmp_path / "assets" / "etcd"
    late.parent.mkdir()
    late.write_text(
        f"#!{sys.executable}\nimport os, sys\ntried = {str(tmp_path / 'tried')!r}\n"
        "if '--version' not in sys.argv and not os.path.exists(tried):\n"
        "    open(tried, 'w').close()\n    sys.exit('listen tcp 127.0.0.1: bind: address already in use')\n"
        f"os.execv({str(etcd)!r}, sys.argv)\n"
    )
    late.chmod(0o755)
    sources = Sources.of(os.environ | {"KUBEBUILDER_ASSETS": str(late.parent)})
    with start_lab(tmp_path / "lab", aws=False, sources=sources) as lab:
        assert (tmp_path / "tried").exists()
        assert "already in use" in (lab.layout.logs / "etcd.log.old").read_text()
        lab.kubectl("get", "namespace", "ml-team")


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    up = sft_lab("up", "--dir", tmp_path)
    assert up.returncode == 1
    assert "holds no lab" in up.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_pid_that_now_belongs_to_another_program_is_not_ended(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "300"])
    try:
        (tmp_path / "lab.json").touch()
        (tmp_path / "run").mkdir()
        record = {"argv": ["/somewhere/etcd", "--data-dir=x"], "environ": {}, "log": str(tmp_path / "logs/etcd.log")}
        (tmp_path / "run" / "etcd.json").write_text(json.dumps(record))
        (tmp_path / "run" / "etcd.pid").write_text(f"{bystander.pid}\n")
        assert sft_lab("down", "--dir", tmp_path).returncode == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_service_account_token_is_known_to_the_api_server_and_may_do_only_what_a_role_allows(lab: Lab) -> None:
    lab.kubectl("create", "serviceaccount", "reader")
    lab.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps")
    lab.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=ml-team:reader")
    config = lab.kubeconfig_of("ml-team", "reader")
    assert config.stat().st_mode & 0o077 == 0
    who = lab.kubectl("--kubeconfig", str(config), "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert who.stdout == "system:serviceaccount:ml-team:reader"
    lab.kubectl("--kubeconfig", str(config), "get", "configmaps")
    denied = lab.kubectl("--kubeconfig", str(config), "get", "secrets", check=False)
    assert 'User "system:serviceaccount:ml-team:reader" cannot list resource "secrets"' in denied.stderr


def test_owned_objects_are_collected_and_a_namespace_goes_with_its_custom_resources(lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", input=json.dumps(CRD))
    lab.kubectl("wait", "--for=condition=Established", "crd/boats.lab.example", "--timeout=20s")
    lab.kubectl("create", "namespace", "harbour")
    boat = {"apiVersion": "lab.example/v1", "kind": "Boat", "metadata": {"name": "one", "namespace": "harbour"}}
    lab.kubectl("create", "-f", "-", input=json.dumps(boat))
    uid = lab.kubectl("get", "boat", "one", "-n", "harbour", "-o", "jsonpath={.metadata.uid}").stdout
    owner = {"apiVersion": "lab.example/v1", "kind": "Boat", "name": "one", "uid": uid}
    cargo = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cargo", "namespace": "harbour", "ownerReferences": [owner]},
    }
    lab.kubectl("create", "-f", "-", input=json.dumps(cargo))
    lab.kubectl("delete", "boat", "one", "-n", "harbour")
    # The garbage collector looks for new kinds every 30 seconds.
    until(lambda: "cargo" not in lab.kubectl("get", "configmap", "-n", "harbour", "-o", "name").stdout, 60)
    lab.kubectl("create", "-f", "-", input=json.dumps(boat))
    lab.kubectl("delete", "namespace", "harbour", "--wait=false")
    until(lambda: lab.kubectl("get", "namespace", "harbour", check=False).returncode == 1)


def test_the_api_server_comes_back_with_its_data_on_the_same_port(lab: Lab) -> None:
    lab.kubectl("create", "configmap", "kept")
    lab.kill("kube-apiserver")
    with pytest.raises(LabError, match="refused"):
        lab.kubectl("get", "configmap", "kept")
    lab.restart("kube-apiserver")
    assert lab.kubectl("get", "configmap", "kept", "-o", "name").stdout == "configmap/kept\n"


def test_a_paused_program_answers_nothing_and_goes_on_when_resumed(lab: Lab) -> None:
    lab.pause("kube-apiserver")
    try:
        silent = lab.kubectl("get", "namespace", "ml-team", "--request-timeout=1s", check=False)
        assert silent.returncode == 1
    finally:
        lab.resume("kube-apiserver")
    until(lambda: lab.kubectl("get", "namespace", "ml-team", check=False).returncode == 0)


def test_the_controllers_work_again_after_a_restart(lab: Lab) -> None:
    lab.restart("kube-controller-manager")
    lab.kubectl("create", "namespace", "after-restart")
    until(lambda: lab.kubectl("get", "sa", "default", "-n", "after-restart", check=False).returncode == 0)
