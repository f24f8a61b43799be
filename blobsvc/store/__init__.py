"""Where the bytes lie: a file system, or memory."""
