"""Measurements of a real installation: `make bench`.

There are no limits that can fail, because machines are shared and noisy.
"""
