"""What of AWS one job, or all jobs that a profile allows, may touch, as ARNs with IAM's wildcards. Pure.

Which actions are needed on it is in permissions.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...aws.identity import TRAINING_LOG_GROUP

_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What one job names, or what one profile lets its jobs name. Texts may hold IAM's wildcards; places in S3 are
    `bucket/key`."""

    source: str
    """Whose it is, for messages: `job ml-team/demo`, `SFTProfile ml-team`."""
    partition: str
    account: str
    regions: tuple[str, ...]
    role_arns: tuple[str, ...]
    """Roles that jobs are given."""
    reads: tuple[str, ...]
    """Data objects, or everything below a prefix."""
    outputs: tuple[str, ...]
    """Prefixes of results, each ending in / or a wildcard."""
    kms_keys: tuple[str, ...] = ()
    """Keys of results: ARN, id or alias."""
    data_keys: tuple[str, ...] = ()
    """Keys of data."""
    images: tuple[str, ...] = ()
    """Addresses of training images."""

    def jobs(self) -> tuple[str, ...]:
        return tuple(self._arn("sagemaker", region, "training-job/sft-*") for region in self.regions)

    def buckets(self) -> tuple[str, ...]:
        places = (*self.reads, *self.outputs)
        return tuple(f"arn:{self.partition}:s3:::{place.partition('/')[0]}" for place in places)

    def below_output(self, rest: str) -> tuple[str, ...]:
        """Objects of runs: below <output>/<job name>/."""
        return tuple(self._object(f"{prefix}sft-*/{rest}") for prefix in self.outputs)

    def data(self) -> tuple[str, ...]:
        return tuple(self._object(place) for place in self.reads)

    def log_group(self, streams: str) -> tuple[str, ...]:
        group = f"log-group:{TRAINING_LOG_GROUP}:{streams}"
        return tuple(self._arn("logs", region, group) for region in self.regions)

    def repositories(self) -> tuple[str, ...]:
        """ECR repositories of the images; those of other registries need no permission."""
        return tuple(arn for image in self.images if (arn := _repository(self.partition, image)))

    def key_arns(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Of keys that are no aliases."""
        return tuple(
            key if key.startswith("arn:") else self._arn("kms", region, f"key/{key}")
            for key in keys
            if "alias/" not in key
            for region in self.regions
        )

    def aliases(self, keys: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"alias/{key.partition('alias/')[2]}" for key in keys if "alias/" in key)

    def any_key(self) -> tuple[str, ...]:
        return tuple(self._arn("kms", region, "key/*") for region in self.regions)

    def _object(self, place: str) -> str:
        return f"arn:{self.partition}:s3:::{place}"

    def _arn(self, service: str, region: str, rest: str) -> str:
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{rest}"


def _repository(partition: str, image: str) -> str | None:
    found = _ECR.match(image)
    return f"arn:{partition}:ecr:{found['region']}:{found['account']}:repository/{found['name']}" if found else None
