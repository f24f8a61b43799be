"""The HTTP servers that can carry the gateway: one folder for each, and what they need in common.

A server takes bytes from sockets, reads HTTP, and calls the app by ASGI. What it offers beyond ASGI, it offers as a
`gateway.wire.line.Line`. Everything else about HTTP is in `gateway.wire`, which knows no server.
"""
