"""Where metasvc keeps its rows: the only place in it that knows SQLAlchemy."""
