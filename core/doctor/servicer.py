"""Serves OperatorService: creates the admin business, and examines the database."""

from core.business.service import BusinessService
from core.doctor.rules import DEFAULT_LIMIT, Examination
from core.doctor.service import DoctorService
from core.messages import timestamp
from nivisco.internal.v1 import operator_pb2 as pb
from nivisco.internal.v1 import operator_pb2_grpc


def examine_response(examination: Examination) -> pb.ExamineResponse:
    """Return the response with the results of all checks."""
    return pb.ExamineResponse(
        examined_at=timestamp(examination.examined_at),
        checks=[
            pb.ExamineResponse.Check(
                name=finding.name,
                verdict=pb.CheckVerdict.Value(f"CHECK_VERDICT_{finding.verdict.name}"),
                count=finding.count,
                rows=[
                    pb.ExamineResponse.Row(
                        columns=[
                            pb.ExamineResponse.Column(name=name, value=value)
                            for name, value in row.items()
                        ]
                    )
                    for row in finding.rows
                ],
                invariant=finding.invariant,
                advice=finding.advice,
            )
            for finding in examination.findings
        ],
    )


class OperatorServicer(operator_pb2_grpc.OperatorServiceServicer):
    """Serves nivisco.internal.v1.OperatorService."""

    def __init__(self, service: BusinessService, doctor: DoctorService) -> None:
        """Serve with `service` and `doctor`."""
        self._service = service
        self._doctor = doctor

    async def CreateAdmin(
        self, request: pb.CreateAdminRequest, context: object
    ) -> pb.CreateAdminResponse:
        """Create the admin business or replace its key."""
        issued = await self._service.create_admin(rotate=request.rotate)
        return pb.CreateAdminResponse(business_id=issued.business_id, api_key=issued.api_key)

    async def Examine(self, request: pb.ExamineRequest, context: object) -> pb.ExamineResponse:
        """Examine the database."""
        limit = request.limit if request.HasField("limit") else DEFAULT_LIMIT
        return examine_response(await self._doctor.examine(limit))
