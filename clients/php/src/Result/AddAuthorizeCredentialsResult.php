<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `add_authorize_credentials` answers. Generated: do not edit. */
final class AddAuthorizeCredentialsResult
{
    /** A sentence for a person. */
    public string $message;
    /** The environment that the keys are for. */
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
