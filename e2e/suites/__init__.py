"""The suites of the node tier: whole releases with real pods, real requests and a real Prometheus."""
