"""Maps the messages of CardsService to use cases and back."""

from core.caller import current_caller
from core.cards.importing import CustomerImporter
from core.cards.service import CardsService
from core.cards.store import Card
from core.gateways.gateway import CardChange, CardData, CardNonce
from core.idempotency.call import current_call
from core.messages import env_value, env_word, gateway_value, gateway_word, timestamp
from core.security.secrets import Secret
from nivisco.payments.v1 import cards_pb2 as pb
from nivisco.payments.v1 import cards_pb2_grpc


class CardsServicer(cards_pb2_grpc.CardsServiceServicer):
    """Serves nivisco.payments.v1.CardsService."""

    def __init__(self, service: CardsService, importer: CustomerImporter) -> None:
        """Serve with `service`; import customers with `importer`."""
        self._service = service
        self._importer = importer

    async def GetUserCards(
        self, request: pb.GetUserCardsRequest, context: object
    ) -> pb.GetUserCardsResponse:
        """List the user's cards."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        cards = await self._service.list_cards(caller, request.user_id, env)
        return pb.GetUserCardsResponse(cards=[card_message(card) for card in cards])

    async def GetUserPrimaryCard(
        self, request: pb.GetUserPrimaryCardRequest, context: object
    ) -> pb.GetUserPrimaryCardResponse:
        """Return the card that a charge would use."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        card = await self._service.primary(
            caller, request.user_id, env, gateway_word(request.gateway)
        )
        return pb.GetUserPrimaryCardResponse(card=card_message(card))

    async def CreateStripeCustomer(
        self, request: pb.CreateStripeCustomerRequest, context: object
    ) -> pb.CreateStripeCustomerResponse:
        """Save a card at Stripe."""
        caller = current_caller()
        card = await self._service.save_stripe_card(
            caller,
            request.user_id,
            env_word(request.env) or caller.default_env,
            request.payment_method_token,
            set_as_primary=request.set_as_primary,
            call=current_call(),
            set_up=request.set_up,
        )
        return pb.CreateStripeCustomerResponse(
            customer_id=card.customer_id, card=card_message(card)
        )

    async def CreateAuthorizeCustomer(
        self, request: pb.CreateAuthorizeCustomerRequest, context: object
    ) -> pb.CreateAuthorizeCustomerResponse:
        """Save a card at Authorize.Net. Card number and code are `Secret`s from here on."""
        caller = current_caller()
        saved = await self._service.save_authorize_card(
            caller,
            request.user_id,
            env_word(request.env) or caller.default_env,
            _card_to_save(request),
            set_as_primary=request.set_as_primary,
            call=current_call(),
        )
        return pb.CreateAuthorizeCustomerResponse(
            customer_profile_id=saved.customer_id,
            payment_profile_id=saved.gateway_card_id,
            card=card_message(saved),
        )

    async def SetPrimaryCard(
        self, request: pb.SetPrimaryCardRequest, context: object
    ) -> pb.SetPrimaryCardResponse:
        """Make a card primary."""
        card = await self._service.set_primary(
            current_caller(), request.card_id, user_id=request.user_id or None
        )
        return pb.SetPrimaryCardResponse(card=card_message(card))

    async def RemoveCard(
        self, request: pb.RemoveCardRequest, context: object
    ) -> pb.RemoveCardResponse:
        """Remove a card."""
        removed, primary = await self._service.remove(
            current_caller(), request.card_id, call=current_call()
        )
        return pb.RemoveCardResponse(
            card=card_message(removed), primary_card=card_message(primary) if primary else None
        )

    async def UpdateCard(
        self, request: pb.UpdateCardRequest, context: object
    ) -> pb.UpdateCardResponse:
        """Change a card."""
        change = CardChange(
            exp_month=request.exp_month or None,
            exp_year=request.exp_year or None,
            address=request.address or None,
            city=request.city or None,
            state=request.state or None,
            postal_code=request.postal_code or None,
            country=request.country or None,
        )
        card = await self._service.update(
            current_caller(), request.card_id, change, call=current_call()
        )
        return pb.UpdateCardResponse(card=card_message(card))

    async def ImportCustomer(
        self, request: pb.ImportCustomerRequest, context: object
    ) -> pb.ImportCustomerResponse:
        """Import a gateway's customer."""
        caller = current_caller()
        gateway = gateway_word(request.gateway)
        assert gateway is not None, "the schema requires it"
        cards = await self._importer.import_customer(
            caller,
            request.user_id,
            env_word(request.env) or caller.default_env,
            gateway,
            request.customer_id,
            call=current_call(),
        )
        return pb.ImportCustomerResponse(
            customer_id=request.customer_id, cards=[card_message(card) for card in cards]
        )


def _card_to_save(request: pb.CreateAuthorizeCustomerRequest) -> CardData | CardNonce:
    """Return the card of a request, which has one by the schema."""
    profile, opaque = request.payment_profile, request.opaque_data
    if request.HasField("opaque_data"):
        value, postal_code = Secret(opaque.data_value), opaque.postal_code or None
        return CardNonce(opaque.data_descriptor, value, postal_code)
    return CardData(
        number=Secret(profile.card_number),
        exp_month=profile.exp_month,
        exp_year=profile.exp_year,
        cvv=Secret(profile.cvv) if profile.cvv else None,
        postal_code=profile.postal_code or None,
    )


def card_message(card: Card) -> pb.Card:
    """Return the message of a card."""
    return pb.Card(
        gateway=gateway_value(card.gateway),
        brand=card.brand,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        card_id=card.card_id,
        primary=card.is_primary,
        env=env_value(card.env),
        user_id=card.user_id,
        created_at=timestamp(card.created_at),
    )
