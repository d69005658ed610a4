"""What goes wrong below every protocol, in words: name servers, sockets, TLS."""

import socket
import ssl

MAX_TEXT = 300  # characters kept of what a library or a server says


def in_words(error: OSError) -> tuple[str, bool]:
    """What happened, in one clean line, and whether it may go away by itself."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not trusted: {clean(error.verify_message)}", False
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ssl.SSLSyscallError():
            return "the connection was closed", True
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            return "the server does not speak TLS on this port", False
        case ssl.SSLError(reason="TLSV1_ALERT_PROTOCOL_VERSION" | "UNSUPPORTED_PROTOCOL"):
            return "the server speaks no version of TLS that is still safe: 1.2 or newer", False
        case ssl.SSLError():
            return f"TLS failed: {clean(error.reason or str(error))}", True
        case TimeoutError():
            return "no answer in time", True
        case socket.gaierror():
            return f"the host name cannot be resolved: {clean(error.strerror or str(error))}", True
        case _:
            return clean(error.strerror.lower() if error.strerror else str(error)), True


def clean(text: str) -> str:
    """One line without control characters, at most MAX_TEXT characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * MAX_TEXT])
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
