"""One noun at a time, pure, in milliseconds."""
