<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * No response arrived in time.
 */
final class ConnectionFailedException extends NiviscoException
{
    /** Whether any of the request may have left: false if no connection was made. */
    public bool $wasSent;

    public function __construct(string $message, bool $wasSent, string $requestId, ?string $idempotencyKey)
    {
        parent::__construct($message, $requestId, $idempotencyKey);
        $this->wasSent = $wasSent;
        $this->outcomeIsUnknown = $wasSent && $idempotencyKey !== null;
    }
}
