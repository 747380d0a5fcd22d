"""What an examination is as a message; for the servicer and for the command line."""

from core.doctor.rules import Examination
from core.wire import timestamp
from nivisco.payments.v1 import operator_pb2 as pb


def examine_response(examination: Examination) -> pb.ExamineResponse:
    """Return the response that tells what every check found."""
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
                demand=finding.demand,
                advice=finding.advice,
            )
            for finding in examination.findings
        ],
    )
