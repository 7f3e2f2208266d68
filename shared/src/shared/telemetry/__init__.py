"""What a running service tells of itself: logs, traces, metrics."""
