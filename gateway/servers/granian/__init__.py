"""Granian (https://github.com/emmett-framework/granian): hyper, which is written in Rust, in front of this process.

It is faster, and an extra: `pip install roadstead[granian]`. Its connections are hyper's, so this package knows them
only by the addresses of their peers (`peers`).
"""
