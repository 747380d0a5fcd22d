<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * A call that did not succeed. None of its properties contains the API key.
 */
class NiviscoException extends \RuntimeException
{
    /** The id to quote to support. */
    public string $requestId;

    /** Idempotency key of a mutating call, with which the call is safe to repeat. */
    public ?string $idempotencyKey;

    /** Whether the call may have taken effect, by this attempt or an earlier one. */
    public bool $outcomeIsUnknown;

    public function __construct(string $message, string $requestId, ?string $idempotencyKey)
    {
        parent::__construct($message);
        $this->requestId = $requestId;
        $this->idempotencyKey = $idempotencyKey;
        $this->outcomeIsUnknown = $idempotencyKey !== null;
    }
}
