"""Heavy client programs against a running installation: `make acceptance` builds and runs them."""
