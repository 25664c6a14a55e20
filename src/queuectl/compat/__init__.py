"""Other programs' command lines, translated at the edge; nothing below knows them."""
