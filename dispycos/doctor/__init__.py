"""`dispycos doctor`: why processes do not find each other, and what to do."""
