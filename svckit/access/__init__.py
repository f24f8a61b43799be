"""Who may call what: principals, the rules in the contracts, and how a call is held against its rule.

`principal`, `decision`, `judgement`, `call` and `actor` know neither gRPC nor protobuf, so that domain code may name
them; `rules` reads the contracts, `gate` enforces them, `remote` asks authsvc, `acting` says on whose behalf a service
acts for itself.
"""
