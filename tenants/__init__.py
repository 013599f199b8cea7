"""People, chains, branches, roles and grants; `access` is the only place that decides who sees and may do what."""
