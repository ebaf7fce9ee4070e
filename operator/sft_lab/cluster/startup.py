"""Brings a lab up in a folder: certificates, programs on free ports, kubeconfig, namespace, environment files.

A lab always begins empty: what an earlier one left in the folder is ended and removed first.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sft_lab.processes import Program, recorded, wait_until

from . import api, commands
from .binaries import Finder, Found, Sources, say_to_stderr
from .certificates import write_certificates
from .commands import Layout
from .environment import lab_variables, program_environment, shell_script
from .lab import NAMESPACE, READY_SECONDS, Lab, LabError, end_programs, locked, wait_ready

PORT_ATTEMPTS = 5


def start_lab(
    directory: Path,
    *,
    pace: str = "demo",
    identity_scope: str = "lab",
    aws: bool = True,
    sources: Sources | None = None,
    say: Callable[[str], None] = say_to_stderr,
) -> Lab:
    """Start a lab in `directory` and return when all of it is ready; when that fails, nothing of it is left running.

    `pace` is awssim's (demo | real); `aws=False` leaves awssim out. Raises LabError or BinaryMissingError.
    """
    layout = Layout(directory.resolve())
    if layout.root.exists() and not layout.marker.exists() and any(layout.root.iterdir()):
        raise LabError(f"{directory} is not empty and holds no lab: give --dir a new or empty folder")
    found = Finder(sources or Sources.of(os.environ), say).find_all()
    layout.root.mkdir(parents=True, exist_ok=True)
    layout.marker.touch()
    with locked(layout):
        if _is_up(layout):
            say(f"the lab in {directory} is already up; to change its settings end it first")
            return Lab(layout.root)
        if left := end_programs(layout):
            say(f"ended what an earlier lab left running in {directory}: {', '.join(left)}")
        _empty(layout)
        try:
            _start(layout, found, pace if aws else None, identity_scope)
        except BaseException:
            end_programs(layout)
            raise
    return Lab(layout.root)


def _is_up(layout: Layout) -> bool:
    """Whether an earlier start finished, which env.json tells because it is written last, and all of it still runs."""
    programs = [program for program in recorded(layout.run) if program.name in commands.PROGRAMS]
    return layout.json_env.exists() and bool(programs) and all(program.pid() is not None for program in programs)


def _empty(layout: Layout) -> None:
    for folder in (layout.bin, layout.run, layout.logs, layout.tls, layout.etcd, layout.home):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (layout.kubeconfig, layout.shell_env, layout.json_env, *layout.root.glob("kubeconfig-*")):
        file.unlink(missing_ok=True)


def _start(layout: Layout, found: Mapping[str, Found], pace: str | None, identity_scope: str) -> None:
    layout.bin.mkdir()
    layout.home.mkdir()
    for name in ("kubectl", "helm"):
        (layout.bin / name).symlink_to(found[name].path)
    write_certificates(layout.tls)
    ports: dict[str, int] = {}
    with ThreadPoolExecutor(1) as pool:
        # awssim spends its first seconds importing: beside the control plane, not after it.
        simulated = (
            pool.submit(_on_free_port, layout, "awssim", lambda port: commands.awssim(port, pace)) if pace else None
        )
        ports["etcd"] = _on_free_port(layout, "etcd", lambda port: commands.etcd(found["etcd"].path, layout, port))
        ports["kube-apiserver"] = _on_free_port(
            layout,
            "kube-apiserver",
            lambda port: commands.kube_apiserver(found["kube-apiserver"].path, layout, port, ports["etcd"]),
        )
        layout.kubeconfig.touch(mode=0o600)
        layout.kubeconfig.write_text(
            api.kubeconfig(layout.tls, ports["kube-apiserver"], NAMESPACE, api.administrator_user(layout.tls))
        )
        controllers = _program(
            layout,
            "kube-controller-manager",
            commands.kube_controller_manager(found["kube-controller-manager"].path, layout),
        )
        controllers.start()
        _create_namespace(layout, ports["kube-apiserver"])
        wait_ready(layout, controllers, None)
        if simulated:
            ports["awssim"] = simulated.result()
    endpoint = f"http://127.0.0.1:{ports['awssim']}" if simulated else None
    variables = lab_variables(layout, endpoint, identity_scope)
    layout.shell_env.write_text(shell_script(layout, variables))
    layout.marker.write_text(json.dumps({"ports": ports, "pace": pace}, indent=1) + "\n")
    layout.json_env.write_text(json.dumps(program_environment(layout, variables), indent=1) + "\n")


def _program(layout: Layout, name: str, argv: tuple[str, ...]) -> Program:
    environ = program_environment(layout, {"PYTHONUNBUFFERED": "1"} if name == "awssim" else {})
    return Program(name, layout.run, argv, environ, layout.logs / f"{name}.log")


def _on_free_port(layout: Layout, name: str, command: Callable[[int], tuple[str, ...]]) -> int:
    """Start a program on a port that was free a moment ago, and again on another if someone else was quicker."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        program = _program(layout, name, command(port))
        program.start()
        try:
            wait_ready(layout, program, port)
        except LabError:
            if "address already in use" in program.log_tail().lower() and attempt < PORT_ATTEMPTS:
                continue
            raise
        return port
    raise AssertionError("unreachable")


def _create_namespace(layout: Layout, port: int) -> None:
    administrator = api.Administrator(layout.tls)
    status, answer = administrator.call(port, "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    if status not in (201, 409):
        raise LabError(f"the API server did not create namespace {NAMESPACE}: HTTP {status} {answer.decode()}")
    # Its first ServiceAccount is the proof that the controllers work.
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    try:
        wait_until(lambda: administrator.answers_ok(port, account), READY_SECONDS, f"no ServiceAccount in {NAMESPACE}")
    except TimeoutError as error:
        raise LabError(f"{error}; see {layout.logs}/kube-controller-manager.log") from error
