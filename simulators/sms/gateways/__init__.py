"""One module per vendor: its paths, its credentials, its numbers, its errors."""
