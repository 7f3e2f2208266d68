"""What can go wrong with local servers, as sentences for the person at the screen."""


class UnavailableError(RuntimeError):
    """This kind of server cannot be had on this machine; another kind may be."""


class StartError(RuntimeError):
    """A server was found, but did not come up; the message ends with the last lines of its log."""


class AddressInUseError(StartError):
    """Somebody else took the port between our look and the server's start."""
