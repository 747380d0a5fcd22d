"""Rules of businesses and their credentials. Pure."""

from email_validator import validate_email

from core.errors import InvalidFields, Reason, Refusal


def check_email_at_domain(email: str, domain: str, *, field: str) -> None:
    """Check that a valid address is at the business's domain, compared case-insensitively.

    The address's domain is read as mail is delivered to it (IDNA 2008, RFC 5891): `straße.de` and
    `strasse.de` belong to different people.

    Raises:
        InvalidFields: the address is at another domain.
    """
    at = validate_email(email, check_deliverability=False).ascii_domain
    if at.lower() != domain.lower():
        raise InvalidFields.of(field, "must be at the business's domain")


def invalid_credentials() -> Refusal:
    """Return the one refusal for every kind of wrong business credentials."""
    return Refusal(Reason.ERROR_REASON_INVALID_CREDENTIALS, "Invalid business credentials")


def business_suspended() -> Refusal:
    """Return the refusal of what a suspended business may not begin."""
    return Refusal(
        Reason.ERROR_REASON_BUSINESS_SUSPENDED,
        "The business is suspended; it can read, refund, and end what it began",
    )
