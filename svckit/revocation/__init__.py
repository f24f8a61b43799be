"""Carries revocations of registry tokens from authsvc to the services that verify these tokens.

`svckit.tokens.revocation` says what a revocation is, and refuses by it.
"""
