"""The first stage: takes each request once, hands it to its thread, answers its sender."""
