"""Builds and sends Authorize.Net's XML requests, and reads the responses."""

import io
import logging
from dataclasses import dataclass
from typing import Any

from authorizenet import apicontractsv1 as contract
from lxml import etree

from sandbox.authorize.xml import NAMESPACE
from tests.sandbox.running import Sandbox

LOGIN = "5KP3u95bQpv"
KEY = "346HZ32z3fP4hTG2"
PATH = "/xml/v1/request.api"
VISA = "4111111111111111"
REASON_BY_AMOUNT = "4222222222222"
FUTURE_DATE = "2060-12"

logging.getLogger("pyxb").setLevel(logging.CRITICAL)


@dataclass
class Reply:
    """A response: status, bytes and elements."""

    status: int
    body: bytes
    root: Any

    def text(self, path: str) -> str | None:
        """Return the text at a path, or None."""
        found: str | None = self.root.findtext(
            "/".join(f"{{{NAMESPACE}}}{step}" for step in path.split("/"))
        )
        return found

    def texts(self, name: str) -> list[str]:
        """Return the texts of all elements with this name."""
        return [element.text for element in self.root.iter(f"{{{NAMESPACE}}}{name}")]

    @property
    def code(self) -> str | None:
        """The code in the response's messages."""
        return self.text("messages/message/code")


def build_request(name: str, inner: str = "", login: str = LOGIN, key: str = KEY) -> str:
    """Return a request's XML."""
    credentials = f"<name>{login}</name><transactionKey>{key}</transactionKey>"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><{name} xmlns="{NAMESPACE}">'
        f"<merchantAuthentication>{credentials}</merchantAuthentication>{inner}</{name}>"
    )


async def post(sandbox: Sandbox, body: str | bytes) -> Reply:
    """Send a request; the package's classes must accept the response."""
    data = io.BytesIO(body.encode() if isinstance(body, str) else body)
    async with sandbox.session.post(sandbox.url + PATH, data=data) as response:
        answer = await response.read()
        assert response.headers["Content-Type"] == "application/xml; charset=utf-8"
        assert answer.startswith(b"\xef\xbb\xbf<?xml")
        contract.CreateFromDocument(answer.removeprefix(b"\xef\xbb\xbf"))
        return Reply(response.status, answer, etree.fromstring(answer))


async def send(sandbox: Sandbox, name: str, inner: str = "", **keys: str) -> Reply:
    """Build and send a request."""
    return await post(sandbox, build_request(name, inner, **keys))


def card_xml(number: str = VISA, expires: str = FUTURE_DATE, zip_code: str = "") -> str:
    """Return the card of a payment profile."""
    address = f"<billTo><zip>{zip_code}</zip></billTo>" if zip_code else ""
    card = f"<cardNumber>{number}</cardNumber><expirationDate>{expires}</expirationDate>"
    return f"{address}<payment><creditCard>{card}</creditCard></payment>"


async def customer_with_card(sandbox: Sandbox, number: str = VISA, **keys: str) -> tuple[str, str]:
    """Create a customer with a card; return the ids of both."""
    inner = (
        f"<profile><merchantCustomerId>M</merchantCustomerId><email>c{number[-4:]}@example.com</email>"
        f"<paymentProfiles>{card_xml(number)}</paymentProfiles></profile>"
        "<validationMode>liveMode</validationMode>"
    )
    created = await send(sandbox, "createCustomerProfileRequest", inner, **keys)
    assert created.code == "I00001", created.body
    customer_id, card_id = created.text("customerProfileId"), created.texts("numericString")[0]
    assert customer_id
    return customer_id, card_id


def charge_xml(
    customer_id: str,
    card_id: str,
    amount: str = "25.50",
    invoice: str = "PAY-1",
    window: str | None = "28800",
    reference: str = "",
) -> str:
    """Return the content of a charge."""
    settings = (
        f"<transactionSettings><setting><settingName>duplicateWindow</settingName>"
        f"<settingValue>{window}</settingValue></setting></transactionSettings>"
        if window is not None
        else ""
    )
    return (
        f"{f'<refId>{reference}</refId>' if reference else ''}<transactionRequest>"
        f"<transactionType>authCaptureTransaction</transactionType><amount>{amount}</amount>"
        f"<currencyCode>USD</currencyCode>"
        f"<profile><customerProfileId>{customer_id}</customerProfileId>"
        f"<paymentProfile><paymentProfileId>{card_id}</paymentProfileId></paymentProfile></profile>"
        f"<order><invoiceNumber>{invoice}</invoiceNumber></order>{settings}</transactionRequest>"
    )


async def charge(sandbox: Sandbox, *ids: str, **rest: Any) -> Reply:
    """Charge a card."""
    return await send(sandbox, "createTransactionRequest", charge_xml(*ids, **rest))


async def books(sandbox: Sandbox, login: str = LOGIN) -> Any:
    """Return an account's books."""
    _, shown = await sandbox.control("GET", f"books?account=authorize:{login}")
    return shown["books"][0]
