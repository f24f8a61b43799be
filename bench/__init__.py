"""Measurements of a real installation: `make bench`. They are printed and judge nothing: machines are shared and noisy."""
