"""The reconcile step and all that it is made of: pure decisions over a job and what was seen of it. No clock, no
network, no task; whoever carries the decisions out is in the folder above."""
