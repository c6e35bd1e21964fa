"""Speaks TLS with who is there, and says by whose fault that fails."""

from __future__ import annotations

import socket

from gpu_runbook.server.queue.tcp import StreamError


def secured(sock: socket.socket, host: str, ca: str, place: str) -> socket.socket:
    """The connection, in TLS with whoever proves to be `host`, by the certificates in the file `ca`; empty for those
    that this server trusts anyway. Raises StreamError, and OSError where the connection is lost or late.
    """
    try:
        import ssl  # takes as long as all the rest, and most brokers are asked without

        context = ssl.create_default_context(cafile=ca or None)
    except (ImportError, OSError) as error:
        sock.close()
        raise StreamError("ca", f"{ca or 'TLS'} cannot be used on this server ({error})") from error
    try:
        return context.wrap_socket(sock, server_hostname=host.strip("[]"))
    except ssl.SSLCertVerificationError as error:
        said = f"{place} has a certificate that is not accepted ({error.verify_message})"
        raise StreamError(f"certificate {error.verify_code}", said) from error
    except ssl.SSLError as error:
        raise StreamError("not-tls", f"{place} does not speak TLS as it should ({error})") from error
