"""The version of this client, which is that of the API it was made from."""

VERSION = "0.1.0"
