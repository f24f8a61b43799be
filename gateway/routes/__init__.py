"""Routes written by hand: /v2, the token endpoint, health, and what two services answer together."""
