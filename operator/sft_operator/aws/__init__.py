"""The edge to AWS: clients, calls kept to their rate, errors and bounds as data; the only place that imports boto3."""
