"""What was measured, and medians and ratios of it."""
