"""What the image's tests share: the image that was built, and how it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tools.image.engines import Container, Engine


@dataclass(frozen=True)
class Built:
    """`marker` stood in the pip.conf that the build was given."""

    by: Engine
    base: str
    tag: str
    marker: str

    @property
    def configuration(self) -> dict[str, Any]:
        return self.by.configuration(self.tag)


def told(container: Container, code: str, *arguments: str) -> Any:
    """What Python code that ends with print(json.dumps(...)) says when the image's own Python runs it."""
    done = container.run("python", "-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
