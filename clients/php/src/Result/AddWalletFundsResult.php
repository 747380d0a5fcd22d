<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `add_wallet_funds` answers. Generated: do not edit. */
final class AddWalletFundsResult
{
    /** The id of the wallet. */
    public string $wallet_id;
    /** The balance after the credit. */
    public string $new_balance;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;
    /** Which way the money moved. */
    public string $type;
    /** What moved the money. */
    public string $source;
    /** Why the money moved. */
    public string $reason;
    /** A sentence for a person. */
    public string $message;
    /** The id of the transaction, `WTX-…`. */
    public string $transaction_id;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->wallet_id = $answer['wallet_id'];
        $result->new_balance = $answer['new_balance'];
        $result->currency = $answer['currency'];
        $result->type = $answer['type'];
        $result->source = $answer['source'];
        $result->reason = $answer['reason'];
        $result->message = $answer['message'];
        $result->transaction_id = $answer['transaction_id'];

        return $result;
    }
}
