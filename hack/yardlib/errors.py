"""The one exception that the front door turns into words for the person at the terminal."""


class YardError(Exception):
    """Something is missing or broken; `hint` says how to get on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
