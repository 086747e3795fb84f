"""The program's side: submitting tasks, placing them, following them to their end."""
