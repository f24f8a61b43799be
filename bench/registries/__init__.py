"""The registries that are compared, and what rows may ask of them."""
