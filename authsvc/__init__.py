"""Who may do what, where: users, robots, projects, members, roles and tokens."""
