"""Management RPCs as REST. The `google.api.http` rules and our own options are compiled once, at the start.

    contracts                           find the RPCs
    template, router                    find the RPC of a path
    binding                             turns an HTTP request into the RPC's request
    answering                           turns the RPC's response into an HTTP answer
    encoding, decoding, values, texts   Harbor's JSON
    openapi                             describes the routes

Nothing here calls a service: `gateway.routes.api` does.
"""
