"""Access control: principals, the rules in the contracts, and how a call is checked against its rule.

`principal`, `decision`, `authorization`, `call` and `actor` use neither gRPC nor protobuf, so that domain code may
import them. `rules` reads the contracts, `gate` enforces them, `remote` asks authsvc, `acting` says on whose behalf a
service acts for itself.
"""
