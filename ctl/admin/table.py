"""All commands. A new one is a row in the table of its noun; a new noun is a row here."""

from ctl.admin.command import Command, Noun
from ctl.admin.nouns.configuration import CONFIGURATION
from ctl.admin.nouns.jobs import JOBS
from ctl.admin.nouns.members import MEMBERS
from ctl.admin.nouns.profiles import LOGIN, PROFILES
from ctl.admin.nouns.projects import PROJECTS
from ctl.admin.nouns.quotas import QUOTAS
from ctl.admin.nouns.refresh_tokens import REFRESH_TOKENS
from ctl.admin.nouns.robots import ROBOTS
from ctl.admin.nouns.users import USERS

NOUNS: tuple[Noun, ...] = (USERS, PROJECTS, MEMBERS, ROBOTS, REFRESH_TOKENS, QUOTAS, JOBS, CONFIGURATION, PROFILES)

SINGLE: tuple[Command, ...] = (LOGIN,)
"""Commands without a noun."""
