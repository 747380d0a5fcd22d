"""The rules of businesses. Pure."""

from core.errors import InvalidFields


def check_email_at_domain(email: str, domain: str, *, field: str) -> None:
    """Make sure that the address is at the business's domain, compared without case.

    Raises:
        InvalidFields: it is not.
    """
    if email.rpartition("@")[2].casefold() != domain.casefold():
        raise InvalidFields.of(field, "must be at the business's domain")
