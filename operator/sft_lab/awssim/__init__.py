"""The simulated AWS: SageMaker training jobs by botocore's models, the rest by moto; for the lab only."""

from sft_lab.awssim.server import Running, serve

__all__ = ["Running", "serve"]
