"""Tables of picks against each other, and against the arrivals that an analyst picked."""
