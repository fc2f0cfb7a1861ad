"""Everything at once for as long as one likes, and whether what the processes hold stays the same."""
