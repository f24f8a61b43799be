"""Answers that need two services. There are few, and each says why it is here."""
