"""User code and user values as bytes, and back."""
