"""Attacks by strangers and by one logged-in caller, each in a process of its own that goes on until it is stopped."""
