"""Wire in, wire out for UsersService."""

from core.caller import current_caller
from core.messages import page_request, timestamp
from core.users.service import UsersService
from nivisco.payments.v1 import users_pb2 as pb
from nivisco.payments.v1 import users_pb2_grpc, wallet_pb2


class UsersServicer(users_pb2_grpc.UsersServiceServicer):
    """Serves nivisco.payments.v1.UsersService."""

    def __init__(self, service: UsersService) -> None:
        """Serve with `service`."""
        self._service = service

    async def ValidateUser(
        self, request: pb.ValidateUserRequest, context: object
    ) -> pb.ValidateUserResponse:
        """Tell whether the user is the caller's and active."""
        user = await self._service.get(current_caller(), request.user_id)
        return pb.ValidateUserResponse(user=pb.User(user_id=user.user_id, active=user.active))

    async def GetUserInfo(
        self, request: pb.GetUserInfoRequest, context: object
    ) -> pb.GetUserInfoResponse:
        """Return the user's profile."""
        user = await self._service.get(current_caller(), request.user_id)
        return pb.GetUserInfoResponse(
            user=pb.User(
                user_id=user.user_id,
                name=user.name,
                email=user.email,
                created_at=timestamp(user.created_at),
            )
        )

    async def GetAllUsers(
        self, request: pb.GetAllUsersRequest, context: object
    ) -> pb.GetAllUsersResponse:
        """Return a page of active users."""
        users, total = await self._service.list_active(current_caller(), page_request(request))
        return pb.GetAllUsersResponse(
            count=len(users),
            total=total,
            users=[
                pb.User(user_id=user.user_id, name=user.name, email=user.email) for user in users
            ],
        )

    async def UpdateUser(
        self, request: pb.UpdateUserRequest, context: object
    ) -> pb.UpdateUserResponse:
        """Change the user."""
        new = request.updates
        updates: dict[str, str | bool] = {}
        if new.HasField("name"):
            updates["name"] = new.name
        if new.HasField("email"):
            updates["email"] = new.email
        if new.HasField("active"):
            updates["active"] = new.active
        updated = await self._service.update(current_caller(), request.user_id, updates)
        return pb.UpdateUserResponse(message="User updated", updated_fields=updated)

    async def CreateUser(
        self, request: pb.CreateUserRequest, context: object
    ) -> pb.CreateUserResponse:
        """Create a user and their wallet."""
        new = request.user
        created = await self._service.create(
            current_caller(), name=new.name, email=new.email, currency=new.currency or None
        )
        return pb.CreateUserResponse(
            user=pb.User(user_id=created.user_id),
            wallet=wallet_pb2.Wallet(wallet_id=created.wallet_id),
        )
