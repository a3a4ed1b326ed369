"""replay: answers the commands of endpoints, and sends them what they missed in bounded batches."""
