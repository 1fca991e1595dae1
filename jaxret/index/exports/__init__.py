"""Ways out of an index: its rows with the columns of their items, as other programs read them."""
