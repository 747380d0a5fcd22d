<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `fund_customer` answers. Generated: do not edit. */
final class FundCustomerResult
{
    /** The gateway's id of the payment, for example `pi_…`. */
    public string $transaction_id;
    /** The credited wallet. */
    public FundCustomerWallet $wallet;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->transaction_id = $answer['transaction_id'];
        $result->wallet = FundCustomerWallet::read($answer['wallet']);

        return $result;
    }
}
