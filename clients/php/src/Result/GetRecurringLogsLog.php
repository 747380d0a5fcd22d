<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The rows of this page. Generated: do not edit. */
final class GetRecurringLogsLog
{
    /** The id of the row, `LOG-…`. */
    public string $log_id;
    /** How the attempt ended. */
    public string $status;
    /** A sentence for a person. */
    public string $message;
    /** When the attempt was made. */
    public string $attempted_at;
    /** The payment's or wallet transaction's id. Null where no money moved. */
    public ?string $transaction_id;
    /** The job. */
    public string $recurring_id;
    /** The occurrence that the attempt was for. */
    public string $occurrence;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->log_id = $answer['log_id'];
        $result->status = $answer['status'];
        $result->message = $answer['message'];
        $result->attempted_at = $answer['attempted_at'];
        $result->transaction_id = $answer['transaction_id'] ?? null;
        $result->recurring_id = $answer['recurring_id'];
        $result->occurrence = $answer['occurrence'];

        return $result;
    }
}
