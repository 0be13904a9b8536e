"""What commands say on stderr: the first word of one that takes seconds to start, warnings."""

from data_prep.progress import MESSAGES

_NAMED = 3


def tell_opening(*names: object, model: str = "") -> None:
    """Say on stderr what is being opened, before anything slow is imported.

    Said to files and pipes, too: it is one line, and a log says what a call was about.

    Args:
        names: Files and folders, as they were given.
        model: The MODEL that was asked for; empty if none was.
    """
    shown = [str(name) for name in names[:_NAMED]]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    with_model = [f"model {model}"] if model else []
    MESSAGES.info(f"opening {', '.join(shown + more + with_model)} ...")
