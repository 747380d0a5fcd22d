<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `modify_stripe_credentials` answers. Generated: do not edit. */
final class ModifyStripeCredentialsResult
{
    /** A sentence for a person. */
    public string $message;
    /** The environment whose keys changed. */
    public string $env;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->message = $answer['message'];
        $result->env = $answer['env'];

        return $result;
    }
}
