"""What a process says of itself: logs, metrics, health, and the live page."""
