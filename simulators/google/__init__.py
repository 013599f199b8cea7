"""Google as OpenID Connect sees it: one asks who you are, you choose, it tells, and lies when told to."""
