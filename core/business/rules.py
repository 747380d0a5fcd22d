"""The rules of businesses. Pure."""

from email_validator import validate_email

from core.errors import InvalidFields


def check_email_at_domain(email: str, domain: str, *, field: str) -> None:
    """Make sure that a valid address is at the business's domain, compared without case.

    The address's domain is read as mail is delivered to it (IDNA 2008, RFC 5891): `straße.de` and
    `strasse.de` belong to different people.

    Raises:
        InvalidFields: it is not.
    """
    at = validate_email(email, check_deliverability=False).ascii_domain
    if at.lower() != domain.lower():
        raise InvalidFields.of(field, "must be at the business's domain")
