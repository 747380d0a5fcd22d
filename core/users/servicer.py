"""Maps the messages of UsersService to use cases and back."""

from core.caller import current_caller
from core.messages import page_request
from core.metadata import Kind, listed_digest, stored_metadata
from core.update_mask import update_of
from core.users.messages import user_message
from core.users.service import UsersService
from core.wallet.messages import wallet_message
from nivisco.payments.v1 import users_pb2 as pb
from nivisco.payments.v1 import users_pb2_grpc


class UsersServicer(users_pb2_grpc.UsersServiceServicer):
    """Serves nivisco.payments.v1.UsersService."""

    def __init__(self, service: UsersService) -> None:
        """Serve with `service`."""
        self._service = service

    async def ValidateUser(
        self, request: pb.ValidateUserRequest, context: object
    ) -> pb.ValidateUserResponse:
        """Return the user, active or not."""
        user = await self._service.get(current_caller(), request.user_id)
        return pb.ValidateUserResponse(user=user_message(user))

    async def GetUserInfo(
        self, request: pb.GetUserInfoRequest, context: object
    ) -> pb.GetUserInfoResponse:
        """Return the user's profile."""
        user = await self._service.get(current_caller(), request.user_id)
        return pb.GetUserInfoResponse(user=user_message(user))

    async def GetAllUsers(
        self, request: pb.GetAllUsersRequest, context: object
    ) -> pb.GetAllUsersResponse:
        """Return a page of active users."""
        digest = listed_digest(Kind.USER, None, request.metadata)
        page = await self._service.list_active(current_caller(), page_request(request), digest)
        return pb.GetAllUsersResponse(
            count=len(page.rows),
            total=page.total,
            users=[user_message(user) for user in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def UpdateUser(
        self, request: pb.UpdateUserRequest, context: object
    ) -> pb.UpdateUserResponse:
        """Change the user."""
        paths = update_of(request).paths
        updates = {path: getattr(request.updates, path) for path in paths}
        if "metadata" in updates:  # empty if it is cleared
            updates["metadata"] = stored_metadata(updates["metadata"], "updates.metadata")
        user = await self._service.update(current_caller(), request.user_id, updates)
        return pb.UpdateUserResponse(
            message="User updated", updated_fields=paths, user=user_message(user)
        )

    async def CreateUser(
        self, request: pb.CreateUserRequest, context: object
    ) -> pb.CreateUserResponse:
        """Create a user and their wallet."""
        new = request.user
        user, wallet = await self._service.create(
            current_caller(),
            name=new.name,
            email=new.email,
            currency=new.currency or None,
            metadata=stored_metadata(new.metadata, "user.metadata"),
        )
        return pb.CreateUserResponse(user=user_message(user), wallet=wallet_message(wallet))

    async def SuspendUser(
        self, request: pb.SuspendUserRequest, context: object
    ) -> pb.SuspendUserResponse:
        """Suspend the user."""
        user = await self._service.set_suspended(
            current_caller(), request.user_id, is_suspended=True
        )
        return pb.SuspendUserResponse(message="User suspended", user=user_message(user))

    async def ReactivateUser(
        self, request: pb.ReactivateUserRequest, context: object
    ) -> pb.ReactivateUserResponse:
        """End the suspension of the user."""
        user = await self._service.set_suspended(
            current_caller(), request.user_id, is_suspended=False
        )
        return pb.ReactivateUserResponse(message="User reactivated", user=user_message(user))
