"""Data sets as their files say them: formats, streaming reader and checks; no client, no network, no Kubernetes."""
