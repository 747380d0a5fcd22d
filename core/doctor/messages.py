"""Messages of the doctor's results."""

from core.doctor.rules import Examination
from core.messages import timestamp
from nivisco.internal.v1 import operator_pb2 as pb


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
