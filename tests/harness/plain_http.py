"""For clients of plain HTTP."""

import ssl

# httpx makes a TLS context for every client and loads all trusted authorities of the machine. That takes 30 ms, longer
# than most tests. This context has no authorities.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
