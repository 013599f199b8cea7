"""The lock boards, one module per protocol."""
