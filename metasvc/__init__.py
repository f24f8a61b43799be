"""What is stored: repositories, artifacts, tags, references, blob links and quotas."""
