"""The command line: one file a command group; nothing here decides anything about messages."""
