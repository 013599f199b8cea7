"""A Cloudflare Access team: publishes its keys, rotates them, and mints what its edge would put into the header."""
