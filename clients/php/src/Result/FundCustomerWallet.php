<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The credited wallet. Generated: do not edit. */
final class FundCustomerWallet
{
    /** The id of the wallet. */
    public string $wallet_id;
    /** The balance after the credit. */
    public string $balance;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->wallet_id = $answer['wallet_id'];
        $result->balance = $answer['balance'];
        $result->currency = $answer['currency'];

        return $result;
    }
}
