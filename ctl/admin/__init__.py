"""`roadstead admin`: what an operator does without a browser, on this machine or elsewhere, over the REST API.

`table` has all commands, a row each; `nouns` has what they do. Everything else here serves every command.
"""
