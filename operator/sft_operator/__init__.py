"""The SFT operator: a Kubernetes controller for supervised fine-tuning jobs."""

__version__ = "0.1.0"
