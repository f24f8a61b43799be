"""The roadstead command: up, serve, admin."""
