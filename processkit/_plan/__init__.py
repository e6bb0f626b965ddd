"""What a command asks for, and the checked plan made of it."""
