"""Clients of other services, behind metasvc's ports."""
