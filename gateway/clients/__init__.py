"""Clients of the services behind the gateway. The routes call them."""
