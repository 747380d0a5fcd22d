"""Describes the API to people: reference, OpenAPI, pages and examples."""
