<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The transactions of this page. Generated: do not edit. */
final class GetWalletHistoryTransaction
{
    /** The id of the transaction, `WTX-…`. */
    public string $transaction_id;
    /** Which way the money moved. */
    public string $type;
    /** How much moved. */
    public string $amount;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;
    /** What moved the money. */
    public string $source;
    /** Why the money moved. */
    public string $reason;
    /** What the movement was for. */
    public ?string $description;
    /** When the money moved. */
    public string $created_at;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->transaction_id = $answer['transaction_id'];
        $result->type = $answer['type'];
        $result->amount = $answer['amount'];
        $result->currency = $answer['currency'];
        $result->source = $answer['source'];
        $result->reason = $answer['reason'];
        $result->description = $answer['description'] ?? null;
        $result->created_at = $answer['created_at'];

        return $result;
    }
}
