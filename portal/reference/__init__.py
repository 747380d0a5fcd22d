"""The public API as data, derived from the schema, for pages, OpenAPI, clients and the cli."""
