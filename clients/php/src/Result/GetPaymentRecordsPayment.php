<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The payments of this page. Generated: do not edit. */
final class GetPaymentRecordsPayment
{
    /** The gateway's id of the payment, for example `pi_…`. Null while no gateway has answered. */
    public ?string $transaction_id;
    /** The amount of the payment. */
    public string $amount;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;
    /** The status of the payment. */
    public string $status;
    /** When the payment was created. */
    public string $created_at;
    /** Our id of the payment, `PAY-…`, which the gateway keeps too. */
    public string $payment_id;
    /** The user whose card was charged. */
    public string $user_id;
    /** The gateway. */
    public string $gateway;
    /** The environment. */
    public string $env;
    /** What the payment was for. */
    public ?string $description;
    /** Why the card was declined, in the gateway's words. */
    public ?string $decline_code;
    /** How much was refunded. Null: nothing. */
    public ?string $amount_refunded;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->transaction_id = $answer['transaction_id'] ?? null;
        $result->amount = $answer['amount'];
        $result->currency = $answer['currency'];
        $result->status = $answer['status'];
        $result->created_at = $answer['created_at'];
        $result->payment_id = $answer['payment_id'];
        $result->user_id = $answer['user_id'];
        $result->gateway = $answer['gateway'];
        $result->env = $answer['env'];
        $result->description = $answer['description'] ?? null;
        $result->decline_code = $answer['decline_code'] ?? null;
        $result->amount_refunded = $answer['amount_refunded'] ?? null;

        return $result;
    }
}
