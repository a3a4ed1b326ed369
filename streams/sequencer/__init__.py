"""sequencer: gives every update of an inbox the next number of that inbox, and keeps the inbox's queue."""
