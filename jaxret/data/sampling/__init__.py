"""Which frames of an item are read, and what is made of their pixels."""
