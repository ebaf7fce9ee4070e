"""How the lab finds, downloads or builds its programs, with fake programs, a fake `go` and archives on loopback."""

from __future__ import annotations

import fcntl
import hashlib
import io
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sft_lab.cluster.archives import ArchiveUnavailableError, choose_envtest, go_platform
from sft_lab.cluster.binaries import BinaryMissingError, Finder, Sources
from sft_lab.cluster.wanted import parse_version, wanted

SYSTEM, MACHINE = go_platform()
OFFLINE = {f"SFT_LAB_{name.upper()}": "" for name in wanted().addresses}

# Answers like the real one: `mod download` names a go.mod, `build` takes a while and writes a program.
FAKE_GO = """#!/bin/sh
echo "$@" >> "{calls}"
if [ "$1" = mod ]; then
    printf 'replace k8s.io/api => ./staging/src/k8s.io/api\\n' > "{root}/upstream.mod"
    echo '{{"GoMod": "{root}/upstream.mod"}}'
    exit 0
fi
env > "{root}/go-environment"
sleep 0.3
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho v%s\\n' "{version}" > "$2"
chmod +x "$2"
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Machine:
    """A machine with nothing on it but what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "path"
        self.path.mkdir()
        self.environ = {"PATH": str(self.path), "XDG_CACHE_HOME": str(root / "cache"), **OFFLINE}
        self.said: list[str] = []

    def program(self, folder: Path, name: str, version: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return script(folder / name, f"#!/bin/sh\necho 'Version: v{version}'\n")

    def install_go(self, version: str) -> Path:
        calls = self.root / "go-calls"
        script(self.path / "go", FAKE_GO.format(calls=calls, root=self.root, version=version))
        self.environ["PATH"] = f"{self.path}:/usr/bin:/bin"
        return calls

    @property
    def finder(self) -> Finder:
        return Finder(Sources.of(self.environ), self.said.append)

    @property
    def cached(self) -> list[str]:
        return sorted(path.name for path in (self.root / "cache/sft-operator/bin").glob("*"))


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it."""
    folder = tmp_path / "web"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def tar_of(programs: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for path, text in programs.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def publish_helm(folder: Path, checksum: str | None = None) -> None:
    name = f"helm-v{wanted().binaries['helm'].version}-{SYSTEM}-{MACHINE}.tar.gz"
    archive = tar_of({f"{SYSTEM}-{MACHINE}/helm": "#!/bin/sh\necho v4.3.1+g1\n", f"{SYSTEM}-{MACHINE}/LICENSE": "x"})
    (folder / name).write_bytes(archive)
    (folder / f"{name}.sha256sum").write_text(f"{checksum or hashlib.sha256(archive).hexdigest()}  {name}\n")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("etcd Version: 3.6.16\nGit SHA: 1a2b3c4\nGo Version: go1.26.8", (3, 6, 16)),
        ("Kubernetes v1.36.3", (1, 36, 3)),
        ("Client Version: v1.32.4-dispatcher", (1, 32, 4)),
        ("v4.3.1+g2a09530", (4, 3, 1)),
        ("no version here", None),
    ],
)
def test_the_version_is_read_from_what_each_program_prints(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("name", "version", "accepted"),
    [
        ("kubectl", (1, 32, 4), False),
        ("kubectl", (1, 35, 0), True),
        ("kubectl", (1, 37, 9), True),
        ("kubectl", (1, 38, 0), False),
        ("kube-apiserver", (1, 35, 9), False),
        ("kube-apiserver", (1, 36, 0), True),
        ("kube-controller-manager", (1, 37, 0), False),
        ("etcd", (3, 4, 33), False),
        ("etcd", (3, 5, 0), True),
        ("helm", (3, 13, 3), False),
        ("helm", (3, 14, 0), True),
        ("helm", (4, 9, 9), True),
    ],
)
def test_a_version_from_elsewhere_is_taken_only_inside_the_rule(
    name: str, version: tuple[int, ...], accepted: bool
) -> None:
    assert wanted().binaries[name].accepts(version) is accepted


def test_every_wanted_version_passes_its_own_rule() -> None:
    for binary in wanted().binaries.values():
        version = parse_version(binary.version)
        assert version is not None
        assert binary.accepts(version), binary.name


def test_kubebuilder_assets_win_over_path_and_path_wins_over_the_cache(machine: Machine) -> None:
    assets = machine.root / "assets"
    machine.program(machine.root / "cache/sft-operator/bin", "kubectl-1.36.3", "1.36.3")
    assert machine.finder.find("kubectl").origin == "cache"
    machine.program(machine.path, "kubectl", "1.36.1")
    assert machine.finder.find("kubectl").origin == "PATH"
    machine.program(assets, "kubectl", "1.36.0")
    machine.environ["KUBEBUILDER_ASSETS"] = str(assets)
    found = machine.finder.find("kubectl")
    assert (found.origin, found.version, found.path) == ("KUBEBUILDER_ASSETS", "1.36.0", assets / "kubectl")


def test_a_program_that_is_too_old_or_does_not_run_is_passed_over(machine: Machine) -> None:
    machine.program(machine.root / "cache/sft-operator/bin", "kubectl-1.36.3", "1.36.3")
    machine.program(machine.path, "kubectl", "1.32.4-dispatcher")
    script(machine.root / "cache/sft-operator/bin/helm-4.3.1", "#!/bin/sh\necho v4.3.1\n")
    script(machine.path / "helm", "#!/nonexistent/interpreter\n")
    assert machine.finder.find("kubectl").origin == "cache"
    assert machine.finder.find("helm").origin == "cache"


def test_assets_of_a_wrong_version_are_passed_over_and_the_user_is_told(machine: Machine) -> None:
    machine.program(machine.root / "cache/sft-operator/bin", "etcd-3.6.16", "3.6.16")
    machine.program(machine.root / "assets", "etcd", "3.4.1")
    machine.environ["KUBEBUILDER_ASSETS"] = str(machine.root / "assets")
    assert machine.finder.find("etcd").origin == "cache"
    assert any("3.4.1, accepted is >= 3.5, < 3.7" in line for line in machine.said)


def test_the_wanted_version_in_the_cache_wins_over_a_newer_accepted_one(machine: Machine) -> None:
    for version in ("1.36.2", "1.36.3", "1.36.9", "1.99.0"):
        machine.program(machine.root / "cache/sft-operator/bin", f"kube-apiserver-{version}", version)
    assert machine.finder.find("kube-apiserver").version == "1.36.3"


def test_a_release_archive_is_downloaded_checked_and_cached(machine: Machine, web: tuple[Path, str]) -> None:
    folder, machine.environ["SFT_LAB_HELM_RELEASES"] = web
    publish_helm(folder)
    assert machine.finder.find("helm").origin == "downloaded"
    assert machine.cached == ["helm-4.3.1"]
    assert machine.finder.find("helm").origin == "cache"


def test_an_archive_with_a_wrong_checksum_is_never_run_and_go_builds_instead(
    machine: Machine, web: tuple[Path, str]
) -> None:
    folder, machine.environ["SFT_LAB_HELM_RELEASES"] = web
    publish_helm(folder, checksum="0" * 64)
    machine.install_go("4.3.1")
    assert machine.finder.find("helm").origin == "built"
    assert any("sha256 is" in line and "thrown away" in line for line in machine.said)


def test_one_envtest_archive_gives_all_of_its_programs_in_their_own_versions(
    machine: Machine, web: tuple[Path, str]
) -> None:
    folder, address = web
    programs = {"etcd": "3.6.8", "kube-apiserver": "1.36.2", "kubectl": "1.36.2"}
    archive = tar_of({f"controller-tools/envtest/{n}": f"#!/bin/sh\necho v{v}\n" for n, v in programs.items()})
    name = f"envtest-v1.36.2-{SYSTEM}-{MACHINE}.tar.gz"
    (folder / name).write_bytes(archive)
    (folder / "index.yaml").write_text(
        f"releases:\n  v1.36.2:\n    {name}:\n      hash: {hashlib.sha512(archive).hexdigest()}\n"
        f"      selfLink: {address}/{name}\n"
    )
    machine.environ["SFT_LAB_ENVTEST_INDEX"] = f"{address}/index.yaml"
    finder = machine.finder
    assert {n: (finder.find(n).version, finder.find(n).origin) for n in programs} == {
        n: (v, "cache") for n, v in programs.items()
    }
    assert sum("downloading" in line for line in machine.said) == 1
    assert machine.cached == ["etcd-3.6.8", "kube-apiserver-1.36.2", "kubectl-1.36.2"]


def test_the_newest_accepted_release_of_the_envtest_index_is_chosen() -> None:
    releases = ("v1.35.9", "v1.36.0", "v1.36.10", "v1.36.2", "v1.36.11-rc.0", "v1.37.0")
    index = "releases:\n" + "".join(
        f"  {name}:\n    envtest-{name}-linux-amd64.tar.gz: {{hash: h-{name}, selfLink: u-{name}}}\n"
        for name in releases
    )
    assert choose_envtest(index, "linux", "amd64", "index") == ("u-v1.36.10", "h-v1.36.10")
    with pytest.raises(ArchiveUnavailableError, match=r"no release >= 1\.36, < 1\.37 for plan9/amd64"):
        choose_envtest(index, "plan9", "amd64", "index")
    with pytest.raises(ArchiveUnavailableError, match="not an envtest index"):
        choose_envtest("<html>a sign-in page</html>", "linux", "amd64", "index")


def test_go_builds_with_the_machines_own_proxy_settings_but_for_this_machine(machine: Machine) -> None:
    calls = machine.install_go("1.36.3")
    machine.environ |= {"GOPROXY": "https://proxy.example", "HTTPS_PROXY": "http://p.example", "GOOS": "plan9"}
    found = machine.finder.find("kube-apiserver")
    assert (found.origin, found.version) == ("built", "1.36.3")
    seen = (machine.root / "go-environment").read_text().splitlines()
    assert {"GOPROXY=https://proxy.example", "HTTPS_PROXY=http://p.example", "CGO_ENABLED=0"} <= set(seen)
    assert "GOOS=plan9" not in seen
    assert "gitVersion=v1.36.3" in calls.read_text()
    go_mod = machine.root / "cache/sft-operator/go/kubernetes-1.36.3/go.mod"
    assert "replace k8s.io/api => k8s.io/api v0.36.3" in go_mod.read_text()


def test_two_processes_that_ask_at_once_build_once_and_say_that_they_wait(machine: Machine) -> None:
    calls = machine.install_go("3.6.16")
    ask = (
        "import os\nfrom sft_lab.cluster.binaries import Finder, Sources\n"
        "print(Finder(Sources.of(os.environ)).find('etcd').origin)"
    )
    lock = machine.root / "cache/sft-operator/binaries.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        asking = [
            subprocess.Popen([sys.executable, "-c", ask], env=machine.environ, stdout=-1, stderr=-1, text=True)
            for _ in range(2)
        ]
        for process in asking:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("waiting for etcd: another process")
    answers = [process.communicate(timeout=60)[0] for process in asking]
    assert sorted(answer.strip() for answer in answers) == ["built", "cache"]
    assert calls.read_text().count("build ") == 1
    assert machine.cached == ["etcd-3.6.16"]


def test_without_go_and_network_the_error_tells_what_was_tried_and_what_to_install(machine: Machine) -> None:
    machine.program(machine.path, "helm", "2.17.0")
    with pytest.raises(BinaryMissingError) as caught:
        machine.finder.find("helm")
    message = str(caught.value)
    for words in (
        "helm 4.3.1 (accepted: >= 3.14, < 5)",
        "KUBEBUILDER_ASSETS: not set",
        "is 2.17.0, accepted is",
        "download switched off (SFT_LAB_HELM_RELEASES is empty)",
        "no `go` on PATH",
        "install Go >= 1.26",
    ):
        assert words in message


def test_a_network_that_does_not_answer_is_asked_once(machine: Machine) -> None:
    asked: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def hang_up() -> None:
            while True:
                try:
                    connection, address = silent.accept()
                except OSError:
                    return
                asked.append(address)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        machine.environ["SFT_LAB_ENVTEST_INDEX"] = f"http://127.0.0.1:{silent.getsockname()[1]}/index.yaml"
        finder = machine.finder
        for name in ("etcd", "kube-apiserver"):
            with pytest.raises(BinaryMissingError, match=r"prebuilt archive: http://127\.0\.0\.1"):
                finder.find(name)
        silent.shutdown(socket.SHUT_RDWR)
    assert len(asked) == 1


def test_a_failed_build_shows_the_end_of_gos_output_and_leaves_nothing_in_the_cache(machine: Machine) -> None:
    script(machine.path / "go", "#!/bin/sh\necho 'requires go >= 1.26.0 (running go 1.21)' >&2\nexit 1\n")
    with pytest.raises(BinaryMissingError, match=r"requires go >= 1\.26\.0 \(running go 1\.21\)"):
        machine.finder.find("etcd")
    assert machine.cached == []
    assert not list((machine.root / "cache/sft-operator").glob(".new-*"))


def test_a_build_of_a_wrong_version_is_not_kept(machine: Machine) -> None:
    machine.install_go("9.9.9")
    with pytest.raises(BinaryMissingError, match=r"etcd is 9\.9\.9"):
        machine.finder.find("etcd")
    assert machine.cached == []
