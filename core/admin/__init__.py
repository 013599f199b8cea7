"""Bases of the admin: scoped to what a member of staff may see, written through services.

Import from the submodules; this package imports nothing, because Django reads `core.admin.apps` before any model.
"""
