"""What the process tells about itself: logs, metrics, probes. It listens and decides nothing."""
