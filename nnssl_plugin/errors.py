class InputError(ValueError):
    """A mistake in what the user gave: names the offending value, what was expected and what to do.

    The command line prints it without a traceback.
    """


class RunError(RuntimeError):
    """A command of a run failed; the message holds the end of its log."""
