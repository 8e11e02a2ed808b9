"""How the weights of the demo picker were made."""
