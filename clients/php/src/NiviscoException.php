<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * A call that did not succeed. None of its properties holds a key.
 */
class NiviscoException extends \RuntimeException
{
    /** The id to quote to support. */
    public string $requestId;

    /** The key of a call that changes something: with it the same call is safe to repeat. */
    public ?string $idempotencyKey;

    /** Whether the call may have taken effect all the same, by this try or an earlier one. */
    public bool $outcomeIsUnknown;

    public function __construct(string $message, string $requestId, ?string $idempotencyKey)
    {
        parent::__construct($message);
        $this->requestId = $requestId;
        $this->idempotencyKey = $idempotencyKey;
        $this->outcomeIsUnknown = $idempotencyKey !== null;
    }
}
