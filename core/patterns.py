"""Says the schema's patterns in words, for refusals and the reference; it checks nothing."""

from typing import Final

PATTERN_DESCRIPTIONS: Final = {
    r"\S": "must have at least one character that is not a space",
    r"^[!-~]{1,25}$": "must be 1 to 25 printable characters without spaces",
    r"^[!-~]{1,32}$": "must be 1 to 32 printable characters without spaces",
    r"^[!-~]{1,64}$": "must be 1 to 64 printable characters without spaces",
    r"^[ -~]{1,64}$": "must be 1 to 64 printable characters",
    r"^[0-9]{12,19}$": "must be 12 to 19 digits",
    r"^[0-9]{3,4}$": "must be 3 or 4 digits",
    r"^[0-9A-Fa-f]{1,256}$": "must be at most 256 hexadecimal digits",
    r"^[A-Za-z]{3}$": "must be a currency's three letters, for example usd",
    r"^[A-Za-z0-9_+/-]{1,64}$": "must be an IANA time zone, for example America/Chicago",
    r"^acct_[A-Za-z0-9_]{1,100}$": "must be a Stripe account id, which begins with acct_",
    r"^pk_(test|live)_[A-Za-z0-9_]{1,200}$": (
        "must be a Stripe publishable key, which begins with pk_test_ or pk_live_"
    ),
    r"^(sk|rk)_(test|live)_[A-Za-z0-9_]{1,200}$": (
        "must be a Stripe secret or restricted key, which begins with sk_test_, sk_live_, "
        "rk_test_ or rk_live_"
    ),
    r"^whsec_[A-Za-z0-9+/=_-]{1,200}$": (
        "must be a Stripe webhook signing secret, which begins with whsec_"
    ),
    r"^(pm|tok)_[A-Za-z0-9_]{1,200}$": (
        "must be a Stripe payment method or token, which begins with pm_ or tok_"
    ),
    (
        r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
        r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
    ): "must be a domain name, for example example.com",
}
"""What to tell a person about each pattern of our schema. A new pattern wants a line here."""
