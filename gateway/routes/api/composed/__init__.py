"""Answers that need two services. There are only few, and each module says why it is here."""
