"""Devices of the user: inventory, check, setup; bundles, benchmarks, deployment, estimates."""
