"""The kinds of trainyard.dev: what a job may say, what its status says, and every rule that judges them.

The bottom room: pydantic models, defaults, validation, names. It imports no other room, does no I/O and knows no clock.
"""
