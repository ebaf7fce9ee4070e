"""The simulated AWS and a platform on it, for every file that asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sft_lab.awssim.control import Sim
from tests.sagemaker_lab import Lab, lab, simulated_aws


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated_aws() as sim:
        yield sim


@pytest.fixture
def aws(sim: Sim) -> Iterator[Lab]:
    with lab(sim) as made:
        yield made
