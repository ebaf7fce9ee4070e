"""A real Kubernetes control plane on this machine, with the simulated AWS beside it; awssim itself is not here."""
