"""Files as a run leaves them: written whole or not at all, and held by one run at a time."""
