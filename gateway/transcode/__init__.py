"""Management RPCs as REST: what `google.api.http` rules and our extras beside them mean, compiled once at the start.

    contracts   finds the RPCs            template, router   which path is which RPC
    binding     an HTTP request as the RPC's request          answering   the RPC's answer as an HTTP answer
    encoding, decoding, values, texts     Harbor's JSON       openapi     the same routes, described

Nothing here calls a service: `gateway.routes.api` does.
"""
