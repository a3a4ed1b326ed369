"""What a process says of itself: logs now; metrics are the business of the benchmark issue."""
