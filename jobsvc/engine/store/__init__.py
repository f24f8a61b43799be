"""Where the engine keeps its rows: the only place in it that knows SQLAlchemy."""
