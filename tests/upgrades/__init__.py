"""Databases of earlier schemas, which are migrated and go on."""
