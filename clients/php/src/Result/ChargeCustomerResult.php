<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `charge_customer` answers. Generated: do not edit. */
final class ChargeCustomerResult
{
    /** The gateway's id of the payment, for example `pi_…`. */
    public string $transaction_id;
    /** The amount that was charged. */
    public string $amount;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;
    /** The status of the payment. */
    public string $status;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->transaction_id = $answer['transaction_id'];
        $result->amount = $answer['amount'];
        $result->currency = $answer['currency'];
        $result->status = $answer['status'];

        return $result;
    }
}
