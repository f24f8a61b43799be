"""Measurements beside Go's `distribution`, on the same machine in the same run: `make bench`. See bench/README.md.

There are no limits that can fail, because machines are shared and noisy. Look at the ratios: the speeds alone say
little.
"""
