<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `create_stripe_customer` answers. Generated: do not edit. */
final class CreateStripeCustomerResult
{
    /** The id of the Stripe customer (`cus_…`). Every card of the user in this environment has
     * the same. */
    public string $customer_id;
    /** The saved card. */
    public CreateStripeCustomerCard $card;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->customer_id = $answer['customer_id'];
        $result->card = CreateStripeCustomerCard::read($answer['card']);

        return $result;
    }
}
