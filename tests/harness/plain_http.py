"""For clients of plain HTTP."""

import ssl

# httpx makes a context for TLS with every client, and reads all the authorities of the machine for it: 30 ms each time,
# which is longer than most tests. This one trusts nobody.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
