"""Whether clients can have seen tags one operation after another, each at a moment between its call and its answer."""
