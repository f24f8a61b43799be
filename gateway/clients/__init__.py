"""The services behind the gateway, as the routes call them."""
