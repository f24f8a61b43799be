"""What two or more services need and what is about no service's own nouns."""
