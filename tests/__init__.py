"""What dispycos promises, a sentence per test; folders by what a test touches."""
