"""Maps the messages of WalletService to use cases and back."""

from datetime import UTC, timedelta

from core.caller import current_caller
from core.idempotency.call import current_call
from core.messages import enum_word, env_word, page_request
from core.metadata import Kind, listed_digest, stored_metadata
from core.money import Amount, money_message
from core.wallet.batch import MovementRequest, WalletBatch
from core.wallet.hold_store import HoldFilter
from core.wallet.holds import HoldRequest, Holds
from core.wallet.messages import (
    hold_message,
    transfer_response,
    wallet_message,
    wallet_transaction_message,
)
from core.wallet.receivable_messages import receivable_message, settled_response
from core.wallet.receivables import Receivables
from core.wallet.rules import Direction
from core.wallet.service import WalletService
from core.wallet.transfers import TransferRequest, Transfers
from nivisco.payments.v1 import wallet_pb2 as pb
from nivisco.payments.v1 import wallet_pb2_grpc


class WalletServicer(wallet_pb2_grpc.WalletServiceServicer):
    """Serves nivisco.payments.v1.WalletService."""

    def __init__(
        self,
        service: WalletService,
        batch: WalletBatch,
        transfers: Transfers,
        holds: Holds,
        receivables: Receivables,
    ) -> None:
        """Read wallets with `service`; change them with the others."""
        self._service = service
        self._batch = batch
        self._transfers = transfers
        self._holds = holds
        self._receivables = receivables

    async def GetUserWallet(
        self, request: pb.GetUserWalletRequest, context: object
    ) -> pb.GetUserWalletResponse:
        """Return the user's wallet."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        if request.HasField("as_of"):
            moment = request.as_of.ToDatetime(tzinfo=UTC)
            wallet = await self._service.get_at(caller, request.user_id, env, moment)
        else:
            wallet = await self._service.get(caller, request.user_id, env)
        return pb.GetUserWalletResponse(
            wallet=wallet_message(wallet),
            receivable=money_message(Amount(wallet.receivable_minor, wallet.currency)),
        )

    async def GetWalletHistory(
        self, request: pb.GetWalletHistoryRequest, context: object
    ) -> pb.GetWalletHistoryResponse:
        """Return a page of the wallet's transactions."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        page, wallet = await self._service.history(
            caller, request.user_id, env, page_request(request)
        )
        return pb.GetWalletHistoryResponse(
            count=len(page.rows),
            total=page.total,
            transactions=[wallet_transaction_message(row, wallet) for row in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def ChargeWallet(
        self, request: pb.ChargeWalletRequest, context: object
    ) -> pb.ChargeWalletResponse:
        """Debit the user's wallet."""
        response = await self._batch.move(_movement_request(Direction.DEBIT, request))
        assert isinstance(response, pb.ChargeWalletResponse), "the movement is a debit"
        return response

    async def AddWalletFunds(
        self, request: pb.AddWalletFundsRequest, context: object
    ) -> pb.AddWalletFundsResponse:
        """Credit the user's wallet."""
        response = await self._batch.move(_movement_request(Direction.CREDIT, request))
        assert isinstance(response, pb.AddWalletFundsResponse), "the movement is a credit"
        return response

    async def ListReceivables(
        self, request: pb.ListReceivablesRequest, context: object
    ) -> pb.ListReceivablesResponse:
        """Return a page of what users owe."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        page = await self._receivables.page(
            caller, env, request.user_id or None, page_request(request)
        )
        return pb.ListReceivablesResponse(
            count=len(page.rows),
            total=page.total,
            receivables=[receivable_message(row) for row in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def TransferWallet(
        self, request: pb.TransferWalletRequest, context: object
    ) -> pb.TransferWalletResponse:
        """Transfer an amount between two wallets."""
        caller = current_caller()
        transfer = TransferRequest(
            from_user_id=request.from_user_id,
            to_user_id=request.to_user_id,
            env=env_word(request.env) or caller.default_env,
            money=request.amount,
            description=request.description or None,
        )
        return transfer_response(*await self._transfers.transfer(caller, transfer))

    async def HoldWallet(
        self, request: pb.HoldWalletRequest, context: object
    ) -> pb.HoldWalletResponse:
        """Hold a part of the user's wallet."""
        caller = current_caller()
        wanted = HoldRequest(
            user_id=request.user_id,
            env=env_word(request.env) or caller.default_env,
            money=request.amount,
            expires_in=timedelta(seconds=request.expires_in_seconds),
            description=request.description or None,
            metadata=stored_metadata(request.metadata),
        )
        hold, wallet = await self._holds.hold(caller, wanted)
        return pb.HoldWalletResponse(
            message="Amount held successfully",
            hold_id=hold.hold_id,
            hold=hold_message(hold),
            wallet=wallet_message(wallet),
        )

    async def CaptureHold(
        self, request: pb.CaptureHoldRequest, context: object
    ) -> pb.CaptureHoldResponse:
        """Debit the wallet with all or a part of a hold."""
        money = request.amount if request.HasField("amount") else None
        hold, wallet = await self._holds.capture(current_caller(), request.hold_id, money)
        assert hold.transaction_id is not None, "a captured hold has a transaction"
        return pb.CaptureHoldResponse(
            message="Hold captured successfully",
            transaction_id=hold.transaction_id,
            hold=hold_message(hold),
            wallet=wallet_message(wallet),
        )

    async def ReleaseHold(
        self, request: pb.ReleaseHoldRequest, context: object
    ) -> pb.ReleaseHoldResponse:
        """Make the amount of a hold available again."""
        hold, wallet = await self._holds.release(current_caller(), request.hold_id)
        return pb.ReleaseHoldResponse(
            message="Hold released successfully",
            hold=hold_message(hold),
            wallet=wallet_message(wallet),
        )

    async def ListHolds(
        self, request: pb.ListHoldsRequest, context: object
    ) -> pb.ListHoldsResponse:
        """Return a page of holds."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        which = HoldFilter(
            env=env,
            user_id=request.user_id or None,
            status=enum_word(pb.HoldStatus, request.status),
            digest=listed_digest(
                Kind.HOLD, env, request.metadata, user_id=request.user_id, status=request.status
            ),
        )
        page = await self._holds.list_holds(caller, which, page_request(request))
        return pb.ListHoldsResponse(
            count=len(page.rows),
            total=page.total,
            holds=[hold_message(hold) for hold in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def SettleReceivable(
        self, request: pb.SettleReceivableRequest, context: object
    ) -> pb.SettleReceivableResponse:
        """Settle what a user owes from the wallet's balance."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        money = request.amount if request.HasField("amount") else None
        return settled_response(await self._receivables.settle(caller, request.user_id, env, money))


def _movement_request(
    direction: Direction, request: pb.ChargeWalletRequest | pb.AddWalletFundsRequest
) -> MovementRequest:
    caller = current_caller()
    return MovementRequest(
        caller=caller,
        call=current_call(),
        direction=direction,
        user_id=request.user_id,
        env=env_word(request.env) or caller.default_env,
        money=request.amount,
        description=request.description or None,
    )
