"""What each noun's commands do. A module of a noun ends with its table."""
