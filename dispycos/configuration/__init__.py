"""What an account or a machine sets once for all its programs: files and variables."""
