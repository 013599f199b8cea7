"""The kernel: outbox, transitions, idempotency, limits, tokens, live pages, HTTP and admin bases. Knows no domain."""
