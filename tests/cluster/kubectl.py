"""kubectl in one namespace, as a user at a shell: what was taken, what was refused and in which words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sft_lab.cluster.lab import Lab

Manifest = Mapping[str, Any]
Input = Manifest | Sequence[Manifest] | None
"""What goes to kubectl's standard input: one document, several, or nothing."""


@dataclass(frozen=True)
class Kubectl:
    lab: Lab
    namespace: str

    def run(self, *arguments: str, manifest: Input = None) -> subprocess.CompletedProcess[str]:
        """Whatever comes of it."""
        documents = [manifest] if isinstance(manifest, Mapping) else manifest or []
        text = "\n---\n".join(json.dumps(document) for document in documents)
        return self.lab.kubectl("--namespace", self.namespace, *arguments, input=text, check=False)

    def accepted(self, *arguments: str, manifest: Input = None) -> str:
        """Runs a command that must succeed; returns what it printed."""
        answer = self.run(*arguments, manifest=manifest)
        assert answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}"
        return answer.stdout

    def refused(self, *arguments: str, manifest: Input = None) -> str:
        """Runs a command that must be refused; returns the refusal as the user reads it."""
        answer = self.run(*arguments, manifest=manifest)
        assert answer.returncode != 0, f"kubectl {' '.join(arguments)} was accepted: {answer.stdout}"
        return answer.stderr

    def apply(self, manifest: Manifest) -> str:
        return self.accepted("apply", "-f", "-", manifest=manifest)

    def apply_refused(self, manifest: Manifest) -> str:
        return self.refused("apply", "-f", "-", manifest=manifest)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.accepted("get", kind, name, "-o", "json"))
        return document

    def patch(self, name: str, change: Manifest, *flags: str) -> str:
        return self.accepted("patch", "sft", name, "--type=merge", "-p", json.dumps(change), *flags)

    def patch_refused(self, name: str, change: Manifest, *flags: str) -> str:
        return self.refused("patch", "sft", name, "--type=merge", "-p", json.dumps(change), *flags)

    def patch_status(self, name: str, status: Any) -> str:
        return self.patch(name, {"status": status}, "--subresource=status")

    def patch_status_refused(self, name: str, status: Any) -> str:
        return self.patch_refused(name, {"status": status}, "--subresource=status")
