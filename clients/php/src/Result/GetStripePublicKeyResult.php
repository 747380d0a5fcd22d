<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_stripe_public_key` answers. Generated: do not edit. */
final class GetStripePublicKeyResult
{
    /** The environment that the key is for. */
    public string $env;
    /** The publishable key (`pk_…`), which is no secret. */
    public string $stripe_public_key;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->env = $answer['env'];
        $result->stripe_public_key = $answer['stripe_public_key'];

        return $result;
    }
}
