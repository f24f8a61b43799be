"""All commands. A new one is a row in the table of its noun; a new noun is a row here."""

from ctl.admin.command import Command, Noun
from ctl.admin.nouns.profiles import LOGIN, PROFILES
from ctl.admin.nouns.projects import PROJECTS
from ctl.admin.nouns.users import USERS

NOUNS: tuple[Noun, ...] = (USERS, PROJECTS, PROFILES)

SINGLE: tuple[Command, ...] = (LOGIN,)
"""Commands without a noun."""
