"""A hundred thousand unlocks through the real code of both sides while everything between them misbehaves."""
