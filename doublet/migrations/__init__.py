"""Versions of the catalog's tables, applied by Alembic in order."""
