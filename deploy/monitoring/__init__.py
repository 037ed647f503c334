"""How a service is, for machines that look: liveness, readiness, Prometheus metrics, log lines."""
