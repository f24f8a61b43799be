"""What runs in a worker process: it claims tasks, runs their handlers, and says what became of them."""
