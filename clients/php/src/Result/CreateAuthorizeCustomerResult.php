<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `create_authorize_customer` answers. Generated: do not edit. */
final class CreateAuthorizeCustomerResult
{
    /** The id of the customer profile. */
    public string $customer_profile_id;
    /** The id of the payment profile. */
    public string $payment_profile_id;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->customer_profile_id = $answer['customer_profile_id'];
        $result->payment_profile_id = $answer['payment_profile_id'];

        return $result;
    }
}
