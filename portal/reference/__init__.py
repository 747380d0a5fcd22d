"""Describes the public API as data: what pages, OpenAPI, clients and the command line tell of it.

Everything is derived from the descriptors and their comments; nothing here serves or renders.
"""
