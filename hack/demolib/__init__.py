"""The demo: from an empty machine to a job that was killed, came back and succeeded. Standard library only."""
